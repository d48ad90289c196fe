/* Makes every mistake that can be recognized, on the models in a folder. */
#include <stdint.h>

#include "check.h"

static WgruModel *open_model(const char *path) {
    WgruModel *model = NULL;
    OK(wgru_model_open(path, NULL, &model, &error));
    return model;
}

/* Pointers that are no handles: null, misaligned, zeros, noise, and handles of another type. */
static void handles(const char *path) {
    WgruModel *model = open_model(path);
    WgruStream *stream = NULL;
    OK(wgru_stream_new(model, NULL, &stream, &error));
    static uint64_t zeros[512], noise[512];
    for (int k = 0; k < 512; k++) noise[k] = 0x9e3779b97f4a7c15u * (uint64_t)(k + 1);
    void *wrong[] = {NULL, (char *)model + 1, (char *)model + 4, zeros, noise, stream};
    float frame[3] = {0}, output[8], state[16];
    WgruModelInfo info;
    WgruStreamInfo sizes;
    WgruPort port;
    WgruLayer layer;
    WgruTensor tensor = {0};
    size_t size;
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        WgruStatus want = WGRU_STATUS_HANDLE;
        EXPECT(want, wgru_model_info(wrong[k], &info, &error));
        EXPECT(want, wgru_model_input(wrong[k], 0, &port, &error));
        EXPECT(want, wgru_model_output(wrong[k], 0, &port, &error));
        EXPECT(want, wgru_model_layer(wrong[k], 0, &layer, &error));
        WgruOutputs *outputs = (WgruOutputs *)model;
        EXPECT(want, wgru_model_run(wrong[k], &tensor, 1, &outputs, &error));
        CHECK(outputs == NULL);
        WgruStream *made = stream;
        EXPECT(want, wgru_stream_new(wrong[k], NULL, &made, &error));
        CHECK(made == NULL);
        EXPECT(want, wgru_outputs_count(wrong[k], &size, &error));
        EXPECT(want, wgru_outputs_at(wrong[k], 0, &tensor, &error));
        EXPECT(want, wgru_outputs_find(wrong[k], "y", &tensor, &error));
        if (wrong[k] == stream) wrong[k] = model; /* streams get a model */
        EXPECT(want, wgru_stream_info(wrong[k], &sizes, &error));
        EXPECT(want, wgru_stream_step(wrong[k], frame, 3, output, 8, &error));
        EXPECT(want, wgru_stream_process(wrong[k], frame, 3, output, 8, &error));
        EXPECT(want, wgru_stream_reset(wrong[k], &error));
        EXPECT(want, wgru_stream_snapshot(wrong[k], state, 16, &error));
        EXPECT(want, wgru_stream_restore(wrong[k], state, 16, &error));
        /* Freeing null does nothing, and freeing anything else is refused. */
        void *handle = wrong[k];
        WgruStatus freed = handle == NULL ? WGRU_STATUS_OK : WGRU_STATUS_HANDLE;
        CHECK(wgru_stream_free((WgruStream **)&handle) == freed && handle == wrong[k]);
        CHECK(wgru_outputs_free((WgruOutputs **)&handle) == freed && handle == wrong[k]);
    }
    CHECK(wgru_model_free(NULL) == WGRU_STATUS_OK);
    CHECK(wgru_stream_free(NULL) == WGRU_STATUS_OK);
    CHECK(wgru_outputs_free(NULL) == WGRU_STATUS_OK);
    /* A second free, and a call after it. */
    CHECK(wgru_stream_free(&stream) == WGRU_STATUS_OK);
    CHECK(wgru_stream_free(&stream) == WGRU_STATUS_OK);
    EXPECT(WGRU_STATUS_HANDLE, wgru_stream_step(stream, frame, 3, output, 8, &error));
    CHECK(wgru_model_free(&model) == WGRU_STATUS_OK);
}

/* Wrong pointers and lengths. The state stays what it was. */
static void buffers(const char *path) {
    WgruModel *model = open_model(path);
    WgruStream *stream = NULL, *other = NULL, *none = NULL;
    OK(wgru_stream_new(model, NULL, &stream, &error));
    OK(wgru_stream_new(model, NULL, &other, &error));
    float x[32], y[80], want[8], got[8], state[9];
    for (int k = 0; k < 32; k++) x[k] = 0.1f * (float)k;
    float *odd = (float *)((char *)x + 1);
    WgruStatus shape = WGRU_STATUS_SHAPE, pointer = WGRU_STATUS_POINTER;
    for (int k = 0; k < 3; k++) {
        EXPECT(shape, wgru_stream_step(stream, x, 2, y, 8, &error));
        EXPECT(shape, wgru_stream_step(stream, x, 4, y, 8, &error));
        EXPECT(shape, wgru_stream_step(stream, x, 0, y, 8, &error));
        EXPECT(shape, wgru_stream_step(stream, x, SIZE_MAX, y, 8, &error));
        EXPECT(shape, wgru_stream_step(stream, x, 3, y, 7, &error));
        EXPECT(shape, wgru_stream_step(stream, x, 3, y, 0, &error));
        EXPECT(shape, wgru_stream_step(stream, x, 6, y, 16, &error));
        EXPECT(pointer, wgru_stream_step(stream, NULL, 3, y, 8, &error));
        EXPECT(pointer, wgru_stream_step(stream, x, 3, NULL, 8, &error));
        EXPECT(pointer, wgru_stream_step(stream, odd, 3, y, 8, &error));
        EXPECT(pointer, wgru_stream_step(stream, x, 3, (float *)((char *)y + 2), 8, &error));
        EXPECT(shape, wgru_stream_process(stream, x, 31, y, 80, &error));
        EXPECT(shape, wgru_stream_process(stream, x, 30, y, 79, &error));
        EXPECT(shape, wgru_stream_process(stream, x, SIZE_MAX, y, 80, &error));
        EXPECT(shape, wgru_stream_process(stream, x, SIZE_MAX / 3 * 3, y, SIZE_MAX / 8 * 8, &error));
        EXPECT(shape, wgru_stream_process(stream, NULL, 0, y, 8, &error));
        /* In place, an output of 8 floats would overwrite frames of 3 that are still to come. */
        EXPECT(pointer, wgru_stream_step(stream, y, 3, y, 8, &error));
        EXPECT(pointer, wgru_stream_step(stream, y + 7, 3, y, 8, &error));
        EXPECT(pointer, wgru_stream_process(stream, y + 75, 3, y + 70, 8, &error));
        EXPECT(shape, wgru_stream_snapshot(stream, state, 7, &error));
        EXPECT(pointer, wgru_stream_snapshot(stream, NULL, 8, &error));
        EXPECT(pointer, wgru_stream_snapshot(stream, odd, 8, &error));
        EXPECT(shape, wgru_stream_restore(stream, state, 9, &error));
        EXPECT(pointer, wgru_stream_restore(stream, NULL, 8, &error));
        /* A step after errors gives what it gives without them. */
        OK(wgru_stream_step(stream, x, 3, got, 8, &error));
        OK(wgru_stream_step(other, x, 3, want, 8, &error));
        CHECK(memcmp(got, want, sizeof got) == 0);
    }
    /* NaN passes through, and a reset clears it. */
    float bad[3];
    memset(bad, 0xff, sizeof bad);
    OK(wgru_stream_step(stream, bad, 3, got, 8, &error));
    CHECK(got[0] != got[0]);
    OK(wgru_stream_reset(stream, &error));
    OK(wgru_stream_reset(other, &error));
    OK(wgru_stream_step(stream, x, 3, got, 8, &error));
    OK(wgru_stream_step(other, x, 3, want, 8, &error));
    CHECK(memcmp(got, want, sizeof got) == 0);
    /* Targets that are null or misaligned. */
    WgruStreamInfo sizes[2];
    EXPECT(pointer, wgru_stream_info(stream, NULL, &error));
    EXPECT(pointer, wgru_stream_info(stream, (WgruStreamInfo *)((char *)sizes + 1), &error));
    EXPECT(pointer, wgru_stream_new(model, NULL, NULL, &error));
    EXPECT(pointer, wgru_stream_new(model, (WgruStreamOptions *)((char *)sizes + 1), &none, &error));
    /* A misaligned error is not written. */
    unsigned char memory[sizeof(WgruError) + 8];
    memset(memory, 0x5a, sizeof memory);
    CHECK(wgru_stream_step(NULL, x, 3, y, 8, (WgruError *)(memory + ((uintptr_t)memory % 2 == 0))) ==
          WGRU_STATUS_HANDLE);
    for (size_t k = 0; k < sizeof memory; k++) CHECK(memory[k] == 0x5a);
    wgru_stream_free(&other);
    wgru_stream_free(&stream);
    wgru_model_free(&model);
}

static void options(const char *folder) {
    WgruModel *model = open_model(in(folder, "gru.safetensors"));
    WgruStream *stream = NULL;
    WgruStatus value = WGRU_STATUS_VALUE;
    WgruStreamOptions plain = {0}, wrong = plain;
    wrong.weights = 99;
    EXPECT(value, wgru_stream_new(model, &wrong, &stream, &error));
    wrong = plain;
    wrong.batch = SIZE_MAX;
    EXPECT(value, wgru_stream_new(model, &wrong, &stream, &error));
    wrong.batch = 1000000000;
    EXPECT(value, wgru_stream_new(model, &wrong, &stream, &error));
    wrong = plain;
    wrong.threads = 10000;
    EXPECT(value, wgru_stream_new(model, &wrong, &stream, &error));
    wrong = plain;
    wrong.input_count = 1;
    EXPECT(WGRU_STATUS_POINTER, wgru_stream_new(model, &wrong, &stream, &error));
    wgru_model_free(&model);
    /* Models that do not run frame by frame. */
    model = open_model(in(folder, "both.safetensors"));
    EXPECT(WGRU_STATUS_UNSUPPORTED, wgru_stream_new(model, NULL, &stream, &error));
    CHECK(stream == NULL);
    wgru_model_free(&model);
    model = open_model(in(folder, "graph.onnx"));
    wrong = plain;
    wrong.batch = 2;
    EXPECT(value, wgru_stream_new(model, &wrong, &stream, &error));
    WgruTensor example = {0};
    example.name = "nobody";
    wrong = plain;
    wrong.inputs = &example;
    wrong.input_count = 1;
    EXPECT(WGRU_STATUS_SHAPE, wgru_stream_new(model, &wrong, &stream, &error));
    example.rank = 1;
    EXPECT(value, wgru_stream_new(model, &wrong, &stream, &error));
    wgru_model_free(&model);

    const char *gru = in(folder, "gru.safetensors");
    WgruModelOptions settings = {0};
    settings.device = 7;
    EXPECT(value, wgru_model_open(gru, &settings, &model, &error));
    settings.device = WGRU_DEVICE_CPU;
    settings.threads = 100000;
    EXPECT(value, wgru_model_open(gru, &settings, &model, &error));
    settings.threads = 0;
    settings.layer = "nobody";
    EXPECT(WGRU_STATUS_FORMAT, wgru_model_open(gru, &settings, &model, &error));
    settings.layer = "\xff\xfe";
    EXPECT(value, wgru_model_open(gru, &settings, &model, &error));
    settings.layer = NULL;
    settings.head = "nobody";
    EXPECT(WGRU_STATUS_FORMAT, wgru_model_open(gru, &settings, &model, &error));
    settings.head = "weight_hh_l0";
    EXPECT(WGRU_STATUS_FORMAT, wgru_model_open(in(folder, "headed.safetensors"), &settings, &model, &error));
    CHECK(model == NULL);
}

static void files(const char *folder) {
    WgruModel *model = NULL;
    EXPECT(WGRU_STATUS_POINTER, wgru_model_open(NULL, NULL, &model, &error));
    EXPECT(WGRU_STATUS_POINTER, wgru_model_open("x", NULL, NULL, &error));
    EXPECT(WGRU_STATUS_IO, wgru_model_open(in(folder, "nobody"), NULL, &model, &error));
    EXPECT(WGRU_STATUS_IO, wgru_model_open(folder, NULL, &model, &error));
    EXPECT(WGRU_STATUS_IO, wgru_model_open("", NULL, &model, &error));
    EXPECT(WGRU_STATUS_IO, wgru_model_open("\xff\xfe", NULL, &model, &error));
    static const char *const damaged[] = {"truncated.safetensors", "truncated.onnx", "text.txt", "empty"};
    for (size_t k = 0; k < sizeof damaged / sizeof *damaged; k++) {
        EXPECT(WGRU_STATUS_FORMAT, wgru_model_open(in(folder, damaged[k]), NULL, &model, &error));
        CHECK(model == NULL);
    }
    EXPECT(WGRU_STATUS_POINTER, wgru_model_load(NULL, 10, NULL, &model, &error));
    EXPECT(WGRU_STATUS_POINTER, wgru_model_load((const uint8_t *)"x", SIZE_MAX, NULL, &model, &error));
    EXPECT(WGRU_STATUS_FORMAT, wgru_model_load(NULL, 0, NULL, &model, &error));
    /* Every prefix of a file, and every byte changed. */
    static const char *const names[] = {"gru.safetensors", "graph.onnx", "rtneural.json"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        static unsigned char whole[1 << 16];
        FILE *file = fopen(in(folder, names[n]), "rb");
        CHECK(file != NULL);
        size_t length = fread(whole, 1, sizeof whole, file);
        fclose(file);
        for (size_t k = 0; k < length; k += 1 + length / 400) {
            /* In memory of its exact size, so that a sanitizer sees reads beyond it. */
            unsigned char *copy = malloc(length);
            memcpy(copy, whole, length);
            unsigned char *prefix = malloc(k + (k == 0));
            memcpy(prefix, whole, k);
            WgruStatus status = wgru_model_load(prefix, k, NULL, &model, NULL);
            CHECK(status != WGRU_STATUS_OK && status != WGRU_STATUS_INTERNAL && model == NULL);
            copy[k] ^= 0x5a;
            status = wgru_model_load(copy, length, NULL, &model, NULL);
            CHECK(status != WGRU_STATUS_INTERNAL && (status == WGRU_STATUS_OK) == (model != NULL));
            WgruStream *stream = NULL;
            if (model != NULL) {
                status = wgru_stream_new(model, NULL, &stream, NULL);
                CHECK(status != WGRU_STATUS_INTERNAL);
            }
            wgru_stream_free(&stream);
            wgru_model_free(&model);
            free(prefix);
            free(copy);
        }
    }
}

static void runs(const char *folder) {
    WgruModel *model = open_model(in(folder, "gru.safetensors"));
    WgruOutputs *outputs = NULL;
    float x[30] = {0};
    int64_t ints[30] = {-5};
    WgruTensor good = {0};
    good.floats = x;
    good.len = 30;
    good.rank = 3;
    good.dims[0] = 1;
    good.dims[1] = 10;
    good.dims[2] = 3;
    WgruTensor wrong = good, two[2] = {good, good};
    WgruStatus shape = WGRU_STATUS_SHAPE, value = WGRU_STATUS_VALUE, pointer = WGRU_STATUS_POINTER;
    EXPECT(pointer, wgru_model_run(model, &good, 1, NULL, &error));
    EXPECT(pointer, wgru_model_run(model, NULL, 1, &outputs, &error));
    EXPECT(pointer, wgru_model_run(model, &good, SIZE_MAX / 2, &outputs, &error));
    EXPECT(value, wgru_model_run(model, &good, 0, &outputs, &error));
    EXPECT(value, wgru_model_run(model, two, 2, &outputs, &error));
    two[0].name = two[1].name = "x";
    EXPECT(value, wgru_model_run(model, two, 2, &outputs, &error));
    wrong.len = 29;
    EXPECT(shape, wgru_model_run(model, &wrong, 1, &outputs, &error));
    wrong = good;
    wrong.rank = 9;
    EXPECT(value, wgru_model_run(model, &wrong, 1, &outputs, &error));
    wrong.rank = SIZE_MAX;
    EXPECT(value, wgru_model_run(model, &wrong, 1, &outputs, &error));
    wrong = good;
    wrong.dims[0] = wrong.dims[1] = SIZE_MAX / 2;
    EXPECT(value, wgru_model_run(model, &wrong, 1, &outputs, &error));
    wrong = good;
    wrong.rank = 2;
    wrong.dims[0] = 10;
    wrong.dims[1] = 3;
    EXPECT(shape, wgru_model_run(model, &wrong, 1, &outputs, &error));
    wrong = good;
    wrong.dims[1] = wrong.len = 0;
    wrong.floats = NULL;
    WgruStatus empty = wgru_model_run(model, &wrong, 1, &outputs, NULL);
    CHECK(empty != WGRU_STATUS_INTERNAL && (empty == WGRU_STATUS_OK) == (outputs != NULL));
    wgru_outputs_free(&outputs);
    wrong = good;
    wrong.floats = NULL;
    EXPECT(pointer, wgru_model_run(model, &wrong, 1, &outputs, &error));
    wrong.ints = ints;
    EXPECT(value, wgru_model_run(model, &wrong, 1, &outputs, &error));
    wrong.floats = x;
    EXPECT(pointer, wgru_model_run(model, &wrong, 1, &outputs, &error));
    wrong = good;
    wrong.name = "nobody";
    EXPECT(value, wgru_model_run(model, &wrong, 1, &outputs, &error));
    two[1].name = "lengths";
    EXPECT(value, wgru_model_run(model, two, 2, &outputs, &error));
    two[1].floats = NULL;
    two[1].ints = ints;
    EXPECT(value, wgru_model_run(model, two, 2, &outputs, &error));
    two[1] = good;
    two[1].name = "h0";
    EXPECT(shape, wgru_model_run(model, two, 2, &outputs, &error));
    CHECK(outputs == NULL);

    OK(wgru_model_run(model, &good, 1, &outputs, &error));
    WgruTensor tensor;
    EXPECT(value, wgru_outputs_at(outputs, 2, &tensor, &error));
    EXPECT(value, wgru_outputs_at(outputs, SIZE_MAX, &tensor, &error));
    EXPECT(value, wgru_outputs_find(outputs, "nobody", &tensor, &error));
    EXPECT(pointer, wgru_outputs_find(outputs, NULL, &tensor, &error));
    EXPECT(pointer, wgru_outputs_at(outputs, 0, NULL, &error));
    EXPECT(pointer, wgru_outputs_count(outputs, NULL, &error));
    wgru_outputs_free(&outputs);
    WgruLayer layer;
    WgruPort port;
    EXPECT(value, wgru_model_layer(model, 1, &layer, &error));
    EXPECT(value, wgru_model_input(model, 100, &port, &error));
    EXPECT(value, wgru_model_output(model, SIZE_MAX, &port, &error));
    EXPECT(pointer, wgru_model_layer(model, 0, NULL, &error));
    EXPECT(pointer, wgru_model_info(model, NULL, &error));
    wgru_model_free(&model);
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    const char *folder = arguments[1];
    handles(in(folder, "gru.safetensors"));
    buffers(in(folder, "headed.safetensors"));
    options(folder);
    files(folder);
    runs(folder);
    printf("%d checks\n", checks);
    return 0;
}

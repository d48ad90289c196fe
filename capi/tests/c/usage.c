/* Uses every function as intended, on the models in a folder. */
#include <math.h>
#include <pthread.h>

#include "check.h"

enum { STEPS = 50, THREADS = 3, CALLS = 2000 };

static float signal_at(size_t k) { return sinf(0.7f * (float)k); }

static void versions(void) {
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", WGRU_VERSION_MAJOR, WGRU_VERSION_MINOR, WGRU_VERSION_PATCH);
    CHECK(strcmp(wgru_version(), text) == 0);
    CHECK(wgru_version_number() == WGRU_VERSION_NUMBER);
    CHECK(strcmp(wgru_status_name(WGRU_STATUS_OK), "ok") == 0);
    CHECK(strcmp(wgru_status_name(WGRU_STATUS_BUSY), "busy") == 0);
    CHECK(strcmp(wgru_status_name(12345), "unknown") == 0);
}

/* Describes a model, runs it, and compares the run with its stream. */
static void recurrent(const char *path) {
    WgruModel *model = NULL;
    WgruModelInfo info;
    WgruLayer layer;
    WgruPort port;
    OK(wgru_model_open(path, NULL, &model, &error));
    OK(wgru_model_info(model, &info, &error));
    CHECK(info.kind == WGRU_KIND_RECURRENT && info.layer_count == 1 && info.parameter_count > 0);
    OK(wgru_model_layer(model, 0, &layer, &error));
    CHECK(layer.input_size == info.input_size && layer.hidden_size == info.output_size && !layer.bidirectional);
    OK(wgru_model_input(model, 0, &port, &error));
    CHECK(strcmp(port.name, "x") == 0 && port.is_float && port.is_required && port.rank == 3);
    CHECK(port.dims[0] == -1 && port.dims[1] == -1 && port.dims[2] == (int64_t)info.input_size);
    OK(wgru_model_output(model, 1, &port, &error));
    CHECK(strcmp(port.name, "h_n") == 0 && port.dims[0] == (int64_t)layer.stack);

    size_t in_size = info.input_size, out_size = info.output_size;
    float *x = malloc(STEPS * in_size * sizeof(float));
    float *y = malloc(STEPS * out_size * sizeof(float));
    for (size_t k = 0; k < STEPS * in_size; k++) x[k] = signal_at(k);
    int64_t length = 20;
    WgruTensor inputs[2] = {{0}, {0}};
    inputs[0].name = "lengths";
    inputs[0].ints = &length;
    inputs[0].len = inputs[0].rank = inputs[0].dims[0] = 1;
    inputs[1].name = "x";
    inputs[1].floats = x;
    inputs[1].len = STEPS * in_size;
    inputs[1].rank = 3;
    inputs[1].dims[0] = 1;
    inputs[1].dims[1] = STEPS;
    inputs[1].dims[2] = in_size;
    WgruOutputs *outputs = NULL;
    WgruTensor out, last;
    size_t count = 0;

    WgruStream *stream = NULL;
    WgruStreamInfo sizes;
    OK(wgru_stream_new(model, NULL, &stream, &error));
    OK(wgru_stream_info(stream, &sizes, &error));
    CHECK(sizes.input_size == in_size && sizes.output_size == out_size && sizes.batch == 1);
    OK(wgru_stream_process(stream, x, STEPS * in_size, y, STEPS * out_size, &error));

    /* With a length, the state is that of the last valid step. */
    for (size_t used = 1; used <= 2; used++) {
        OK(wgru_model_run(model, inputs + (2 - used), used, &outputs, &error));
        OK(wgru_outputs_count(outputs, &count, &error));
        CHECK(count == info.output_count);
        OK(wgru_outputs_at(outputs, 0, &out, &error));
        CHECK(strcmp(out.name, "y") == 0 && out.rank == 3 && out.dims[1] == STEPS && out.ints == NULL);
        OK(wgru_outputs_find(outputs, "h_n", &last, &error));
        size_t valid = used == 1 ? STEPS : (size_t)length;
        for (size_t k = 0; k < valid * out_size; k++) CHECK(fabsf(out.floats[k] - y[k]) <= 2e-6f);
        for (size_t k = valid * out_size; k < out.len; k++) CHECK(out.floats[k] == 0.0f);
        for (size_t k = 0; k < out_size; k++) {
            CHECK(last.floats[last.len - out_size + k] == out.floats[(valid - 1) * out_size + k]);
        }
        CHECK(wgru_outputs_free(&outputs) == WGRU_STATUS_OK && outputs == NULL);
    }

    /* Steps give what a block gives, also after a reset and from a snapshot. */
    float *one = malloc(out_size * sizeof(float));
    float *state = malloc(sizes.state_size * sizeof(float));
    OK(wgru_stream_reset(stream, &error));
    for (size_t t = 0; t < STEPS; t++) {
        OK(wgru_stream_step(stream, x + t * in_size, in_size, one, out_size, &error));
        CHECK(memcmp(one, y + t * out_size, out_size * sizeof(float)) == 0);
        if (t == 9) OK(wgru_stream_snapshot(stream, state, sizes.state_size, &error));
    }
    OK(wgru_stream_restore(stream, state, sizes.state_size, &error));
    OK(wgru_stream_step(stream, x + 10 * in_size, in_size, one, out_size, &error));
    CHECK(memcmp(one, y + 10 * out_size, out_size * sizeof(float)) == 0);

    /* Without an error, and without frames. */
    CHECK(wgru_stream_step(stream, x, in_size, one, out_size, NULL) == WGRU_STATUS_OK);
    OK(wgru_stream_process(stream, NULL, 0, NULL, 0, &error));

    CHECK(wgru_stream_free(&stream) == WGRU_STATUS_OK && stream == NULL);
    CHECK(wgru_model_free(&model) == WGRU_STATUS_OK && model == NULL);
    free(state);
    free(one);
    free(y);
    free(x);
}

/* Loads bytes that are freed at once, and a model that is freed before its stream. */
static void bytes(const char *path) {
    unsigned char *content = malloc(1 << 20);
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    size_t length = fread(content, 1, 1 << 20, file);
    fclose(file);
    WgruModel *model = NULL;
    OK(wgru_model_load(content, length, NULL, &model, &error));
    free(content);
    WgruStreamOptions options = {0};
    options.batch = 2;
    options.weights = WGRU_WEIGHTS_INT8;
    options.threads = 2;
    WgruStream *stream = NULL;
    OK(wgru_stream_new(model, &options, &stream, &error));
    CHECK(wgru_model_free(&model) == WGRU_STATUS_OK);
    float frame[6] = {0.1f, 0.2f, 0.3f, 0.1f, 0.2f, 0.3f}, output[16];
    OK(wgru_stream_step(stream, frame, 6, output, 16, &error));
    CHECK(memcmp(output, output + 8, 8 * sizeof(float)) == 0 && output[0] != 0.0f);
    CHECK(wgru_stream_free(&stream) == WGRU_STATUS_OK);
}

/* An ONNX model, with its ports. */
static void graph(const char *path) {
    WgruModel *model = NULL;
    WgruModelInfo info;
    WgruPort port;
    OK(wgru_model_open(path, NULL, &model, &error));
    OK(wgru_model_info(model, &info, &error));
    CHECK(info.kind == WGRU_KIND_ONNX && info.input_count == 1 && info.output_count == 1);
    OK(wgru_model_input(model, 0, &port, &error));
    CHECK(strcmp(port.name, "x") == 0 && port.rank == 3 && port.dims[0] == -1 && port.dims[2] == 3);
    WgruStream *stream = NULL;
    WgruStreamInfo sizes;
    OK(wgru_stream_new(model, NULL, &stream, &error));
    OK(wgru_stream_info(stream, &sizes, &error));
    CHECK(sizes.input_size == 3 && sizes.output_size == 2);
    float frames[9] = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f, 0.7f, 0.8f, 0.9f}, output[6], again[2];
    OK(wgru_stream_process(stream, frames, 9, output, 6, &error));
    OK(wgru_stream_reset(stream, &error));
    OK(wgru_stream_step(stream, frames, 3, again, 2, &error));
    CHECK(memcmp(output, again, sizeof again) == 0);
    CHECK(wgru_stream_free(&stream) == WGRU_STATUS_OK);
    CHECK(wgru_model_free(&model) == WGRU_STATUS_OK);
}

typedef struct Shared {
    const WgruModel *model;
    WgruStream *stream;
} Shared;

/* Uses one model, a stream of its own, and a stream that other threads use at the same time. */
static void *use(void *argument) {
    const Shared *shared = argument;
    WgruStream *own = NULL;
    float frame[3] = {0.1f, 0.2f, 0.3f}, output[8];
    if (wgru_stream_new(shared->model, NULL, &own, NULL) != WGRU_STATUS_OK) return NULL;
    for (int k = 0; k < CALLS; k++) {
        if (wgru_stream_step(own, frame, 3, output, 8, NULL) != WGRU_STATUS_OK) return NULL;
        WgruStatus status = wgru_stream_step(shared->stream, frame, 3, output, 8, NULL);
        if (status != WGRU_STATUS_OK && status != WGRU_STATUS_BUSY) return NULL;
    }
    if (wgru_stream_free(&own) != WGRU_STATUS_OK) return NULL;
    return argument;
}

static void threads(const char *path) {
    WgruModel *model = NULL;
    WgruStream *stream = NULL;
    OK(wgru_model_open(path, NULL, &model, &error));
    OK(wgru_stream_new(model, NULL, &stream, &error));
    Shared shared = {model, stream};
    pthread_t all[THREADS];
    for (int k = 0; k < THREADS; k++) CHECK(pthread_create(&all[k], NULL, use, &shared) == 0);
    for (int k = 0; k < THREADS; k++) {
        void *result = NULL;
        CHECK(pthread_join(all[k], &result) == 0 && result == &shared);
    }
    CHECK(wgru_stream_free(&stream) == WGRU_STATUS_OK);
    CHECK(wgru_model_free(&model) == WGRU_STATUS_OK);
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    const char *folder = arguments[1];
    versions();
    recurrent(in(folder, "gru.safetensors"));
    recurrent(in(folder, "lstm.safetensors"));
    bytes(in(folder, "gru.safetensors"));
    graph(in(folder, "graph.onnx"));
    threads(in(folder, "gru.safetensors"));
    printf("%d checks\n", checks);
    return 0;
}

/* Loads a model of any format, shows what it is, and runs it frame by frame.
 *
 *     stream MODEL
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wgru.h>

enum { FRAMES = 4800 };

/* Exits with the text of an error, unless the call succeeded. */
static void check(WgruStatus status, const WgruError *error) {
    if (status == WGRU_STATUS_OK) return;
    fprintf(stderr, "%s: %s\n", wgru_status_name(status), error->message);
    exit(1);
}

static void *allocate(size_t floats) {
    void *memory = calloc(floats + 1, sizeof(float));
    if (memory == NULL) exit(1);
    return memory;
}

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: %s MODEL\n", arguments[0]);
        return 2;
    }
    printf("wgru %s\n", wgru_version());

    WgruError error; /* on the stack: there is nothing to free */
    WgruModel *model = NULL;
    check(wgru_model_open(arguments[1], NULL, &model, &error), &error);
    WgruModelInfo info;
    check(wgru_model_info(model, &info, &error), &error);
    for (size_t i = 0; i < info.layer_count; i++) {
        WgruLayer layer;
        check(wgru_model_layer(model, i, &layer, &error), &error);
        printf("layer \"%s\": %zu features to %zu units, a stack of %zu\n", layer.name, layer.input_size,
               layer.hidden_size, layer.stack);
    }

    WgruStream *stream = NULL;
    check(wgru_stream_new(model, NULL, &stream, &error), &error);
    check(wgru_model_free(&model), &error); /* the stream has what it needs */
    WgruStreamInfo sizes;
    check(wgru_stream_info(stream, &sizes, &error), &error);
    printf("a frame of %zu floats gives %zu; the state has %zu\n", sizes.input_size, sizes.output_size,
           sizes.state_size);

    /* A sine in every feature. */
    float *input = allocate(FRAMES * sizes.input_size);
    float *output = allocate(FRAMES * sizes.output_size);
    float *state = allocate(sizes.state_size);
    for (size_t i = 0; i < FRAMES * sizes.input_size; i++) {
        input[i] = 0.5f * sinf(0.05f * (float)(i / sizes.input_size));
    }

    /* Many frames in one call. */
    clock_t start = clock();
    check(wgru_stream_process(stream, input, FRAMES * sizes.input_size, output, FRAMES * sizes.output_size, &error),
          &error);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    printf("%d frames: %.2f microseconds each\n", FRAMES, 1e6 * seconds / FRAMES);

    /* One frame, twice from the same state. */
    float *again = allocate(sizes.output_size);
    check(wgru_stream_snapshot(stream, state, sizes.state_size, &error), &error);
    check(wgru_stream_step(stream, input, sizes.input_size, output, sizes.output_size, &error), &error);
    check(wgru_stream_restore(stream, state, sizes.state_size, &error), &error);
    check(wgru_stream_step(stream, input, sizes.input_size, again, sizes.output_size, &error), &error);
    printf("first output: %g; from the same state: %s\n", output[0],
           memcmp(output, again, sizes.output_size * sizeof(float)) == 0 ? "the same" : "another");

    check(wgru_stream_free(&stream), &error);
    free(again);
    free(state);
    free(output);
    free(input);
    return 0;
}

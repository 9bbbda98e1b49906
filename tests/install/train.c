/* Trains in this process, with callbacks: FILE MODEL DATA OUT STOP_AFTER. */
#include <bfm/train.h>

#include <bfm/check.h>
#include <bfm/context.h>
#include <bfm/tree.h>

#include <stdio.h>
#include <stdlib.h>

typedef struct Seen {
    long steps, evaluations, stop_after;
    double loss;
} Seen;

static bool stop(void *user) { return ((const Seen *)user)->steps == ((const Seen *)user)->stop_after; }

static void event(void *user, const BfmTrainEvent *event)
{
    Seen *seen = user;
    seen->steps += event->kind == BFM_TRAIN_STEP;
    seen->evaluations += event->kind == BFM_TRAIN_EVALUATION;
    seen->loss = event->loss;
}

int main(int argc, char **argv)
{
    BfmError error = {BFM_OK, ""};
    if (argc < 6)
        return 2;
    Seen seen = {0, 0, atol(argv[5]), 0};
    const BfmTrainOptions options = {.out = argv[4], .threads = 1, .resume = argc > 6};
    const BfmTrainCallbacks callbacks = {.stop = stop, .event = event, .user = &seen};
    BfmTrainResult result;
    BfmContext *context = bfm_context_new(NULL, &error);
    BfmModule *module = context ? bfm_module_load(context, argv[1], &error) : NULL;
    if (!module || !bfm_train(module, argv[2], argv[3], &options, &callbacks, &result, &error)) {
        char *text = module ? bfm_diagnostics_text(module) : NULL;
        fprintf(stderr, "%s%s\n", error.message, text ? text : "");
        bfm_text_free(text);
        return 1;
    }
    printf("%d %lld %lld %ld %ld %.17g %.17g %.17g\n", (int)result.stopped, (long long)result.step, (long long)result.checkpoint, seen.steps, seen.evaluations, result.loss,
           seen.loss, result.evaluation.nats);
    bfm_module_free(module);
    bfm_context_free(context);
    return 0;
}

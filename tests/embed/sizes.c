/* A program around a compiled model called `m` whose length must be a multiple of 4, as test_build.py wants it: binds lengths, bad ones between good ones.
   sizes WEIGHTS TOKENS B OUT LENGTH…: tokens are raw int32 [b, l] for the longest length, and every length is asked of buffers of exactly that length. Prints
   a line for each length and entry, and writes the logits of good ones to OUT/logits_LENGTH. */
#include MODEL_HEADER

#include <stdlib.h>
#include <string.h>

static BfmError error;

static void *need(void *pointer)
{
    if (!pointer) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    return pointer;
}

/* Memory of exactly that many elements, so that a checker of addresses sees a read past its end. */
static int32_t *first_of(const int32_t *tokens, int64_t elements)
{
    int32_t *copy = need(malloc(elements > 0 ? (size_t)elements * 4 : 1));
    for (int64_t i = 0; i < elements; i++)
        copy[i] = tokens[i];
    return copy;
}

static bool ask(BfmInstance *instance, const char *name, int64_t b, int64_t l)
{
    const bool ok = bfm_model_bind(instance, b, l, &error) && bfm_instance_run(instance, 1, 0, &error);
    printf("%s %lld: %s\n", name, (long long)l, ok ? "ran" : error.message);
    if (!ok && error.kind != BFM_ERROR_INPUT)
        exit(1);
    if (!ok && bfm_instance_run(instance, 1, 0, &error)) /* nothing may run with what was refused */
        exit(1);
    return ok;
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    const int64_t b = atoll(argv[3]);
    int64_t longest = 0;
    for (int i = 5; i < argc; i++)
        longest = atoll(argv[i]) > longest ? atoll(argv[i]) : longest;
    int32_t *tokens = need(malloc((size_t)(b * longest) * 4));
    FILE *file = need(fopen(argv[2], "rb"));
    if (fread(tokens, 4, (size_t)(b * longest), file) != (size_t)(b * longest))
        return 1;
    (void)fclose(file);
    BfmPool *pool = need(bfm_pool_new(2));
    BfmTensors *tensors = need(bfm_tensors_new(&m_model, &error));
    (void)need(bfm_tensors_load(tensors, argv[1], &error) ? &error : NULL);
    BfmInstance *forward = need(m_forward(pool, &error)), *backward = need(m_backward(pool, &error));
    if (!bfm_tensors_bind(tensors, "forward", forward, &error) || !bfm_tensors_bind(tensors, "backward", backward, &error))
        return 1;
    for (int i = 5; i < argc; i++) {
        const int64_t l = atoll(argv[i]);
        int32_t *own = first_of(tokens, b * l);
        bfm_instance_set_formal(forward, M_FORWARD_TOKENS, own);
        bfm_instance_set_formal(backward, M_BACKWARD_TOKENS, own);
        bfm_instance_set_formal(backward, M_BACKWARD_TARGETS, own);
        if (ask(forward, "forward", b, l)) {
            char path[4096];
            (void)snprintf(path, sizeof path, "%s/logits_%lld", argv[4], (long long)l);
            FILE *out = need(fopen(path, "wb"));
            const size_t count = (size_t)bfm_instance_output_count(forward, M_FORWARD_OUT_LOGITS);
            if (fwrite(bfm_instance_output(forward, M_FORWARD_OUT_LOGITS), 4, count, out) != count || fclose(out) != 0)
                return 1;
        }
        (void)ask(backward, "backward", b, l);
        free(own);
    }
    bfm_instance_free(forward);
    bfm_instance_free(backward);
    bfm_tensors_free(tensors);
    bfm_pool_free(pool);
    free(tokens);
    return 0;
}

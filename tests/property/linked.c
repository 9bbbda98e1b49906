/* The update of a built model, with gradients from a file: linked WEIGHTS GRADIENTS STEPS OUT. In the model's loss each parameter `free.w…` is multiplied, element by
   element, by `free.g…`, whose values are therefore its gradient: those of one step after another in GRADIENTS, as raw floats, in the order of the model's parameters.
   OUT gets the values of every `free.w…` after each step. */
#include MODEL_HEADER

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static BfmError error;

static void must(bool ok)
{
    if (!ok) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
}

static int64_t elements_of(uint64_t t)
{
    int64_t elements = 1;
    for (uint64_t i = 0; i < m_model.tensors[t].rank; i++)
        elements *= m_model.tensors[t].shape[i];
    return elements;
}

/* Reads or writes the values of the parameters whose paths begin so. */
static void transfer(BfmTensors *tensors, const char *prefix, FILE *from, FILE *to)
{
    for (uint64_t t = 0; t < m_model.tensor_count; t++) {
        if (strncmp(m_model.tensors[t].path, prefix, strlen(prefix)) != 0)
            continue;
        const size_t count = (size_t)elements_of(t);
        float *data = bfm_tensors_at(tensors, (int64_t)t);
        must(from ? fread(data, 4, count, from) == count : fwrite(data, 4, count, to) == count);
    }
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    BfmPool *pool = bfm_pool_new(2);
    BfmTensors *tensors = bfm_tensors_new(&m_model, &error);
    must(pool && tensors && bfm_tensors_load(tensors, argv[1], &error));
    BfmInstance *backward = m_backward(pool, &error);
    BfmUpdater *updater = bfm_updater_new(tensors, pool, &error);
    int32_t *tokens = bfm_buffer_new(8);
    must(backward && updater && tokens && bfm_tensors_bind(tensors, "backward", backward, &error));
    tokens[0] = tokens[1] = 0;
    bfm_instance_set_formal(backward, M_BACKWARD_TOKENS, tokens);
    bfm_instance_set_formal(backward, M_BACKWARD_TARGETS, tokens);
    must(bfm_model_bind(backward, 1, 2, &error));
    FILE *gradients = fopen(argv[2], "rb"), *out = fopen(argv[4], "wb");
    must(gradients && out);
    for (int step = 0; step < atoi(argv[3]); step++) {
        transfer(tensors, "free.g", gradients, NULL);
        must(bfm_instance_run(backward, 1, (uint64_t)step, &error) && m_step(updater, backward, 1, step, NULL, &error));
        transfer(tensors, "free.w", NULL, out);
    }
    must(fclose(gradients) == 0 && fclose(out) == 0);
    bfm_updater_free(updater);
    bfm_instance_free(backward);
    bfm_tensors_free(tensors);
    bfm_pool_free(pool);
    bfm_buffer_free(tokens);
    return 0;
}

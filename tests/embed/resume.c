/* Training that goes on from files, as test_build.py wants it: resume FOLDER TOKENS B L FIRST LAST OUT. FOLDER and OUT hold model.safetensors and
   state.safetensors, as checkpoints do; TOKENS are raw int32 [LAST - FIRST, b, l + 1]. */
#include MODEL_HEADER

#include <stdio.h>
#include <stdlib.h>

static BfmError error;

static void must(bool ok)
{
    if (!ok) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
}

static const char *in_folder(const char *folder, const char *name)
{
    static char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void read_batch(FILE *file, int64_t b, int64_t l, int32_t *tokens, int32_t *targets)
{
    for (int64_t row = 0; row < b; row++)
        for (int64_t i = 0; i <= l; i++) {
            int32_t id = 0;
            must(fread(&id, sizeof id, 1, file) == 1);
            if (i < l)
                tokens[row * l + i] = id;
            if (i > 0)
                targets[row * l + i - 1] = id;
        }
}

int main(int argc, char **argv)
{
    if (argc != 8)
        return 2;
    const int64_t b = atoll(argv[3]), l = atoll(argv[4]), first = atoll(argv[5]), last = atoll(argv[6]);
    int32_t *tokens = bfm_buffer_new((size_t)(b * l) * sizeof *tokens), *targets = bfm_buffer_new((size_t)(b * l) * sizeof *targets);
    BfmPool *pool = bfm_pool_new(2);
    BfmTensors *tensors = bfm_tensors_new(&m_model, &error);
    must(tensors != NULL);
    m_init(tensors, 0);
    BfmUpdater *updater = bfm_updater_new(tensors, pool, &error);
    BfmInstance *backward = m_backward(pool, &error);
    must(updater && backward && bfm_tensors_load(tensors, in_folder(argv[1], "model.safetensors"), &error));
    must(bfm_updater_load(updater, in_folder(argv[1], "state.safetensors"), &error));
    must(bfm_tensors_bind(tensors, "backward", backward, &error));
    bfm_instance_set_formal(backward, M_BACKWARD_TOKENS, tokens);
    bfm_instance_set_formal(backward, M_BACKWARD_TARGETS, targets);
    must(bfm_model_bind(backward, b, l, &error));
    FILE *file = fopen(argv[2], "rb");
    must(file != NULL);
    for (int64_t step = first; step < last; step++) {
        double factor;
        read_batch(file, b, l, tokens, targets);
        must(bfm_instance_run(backward, 3, (uint64_t)step, &error));
        must(bfm_updater_factor(updater, step, &factor, &error) && m_step(updater, backward, factor, step, NULL, &error));
    }
    (void)fclose(file);
    must(bfm_tensors_save(tensors, in_folder(argv[7], "model.safetensors"), &error));
    must(bfm_updater_save(updater, in_folder(argv[7], "state.safetensors"), &error));
    bfm_instance_free(backward);
    bfm_updater_free(updater);
    bfm_tensors_free(tensors);
    bfm_pool_free(pool);
    bfm_buffer_free(tokens);
    bfm_buffer_free(targets);
    return 0;
}

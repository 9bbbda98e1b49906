/* A program around a compiled model called `m`, as test_build.py wants it: reads tokens, runs every entry, writes what they gave.
   embed WEIGHTS|- TOKENS B L OUT: tokens are raw int32 [b, l + 1]; - stands for initial values of seed 7. */
#define _POSIX_C_SOURCE 200809L
#include MODEL_HEADER

#include <math.h>
#include <pthread.h>
#include <stdio.h>
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

static void must(bool ok) { (void)need(ok ? &error : NULL); }

static void dump(const char *out, const char *name, const void *data, int64_t elements)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", out, name);
    FILE *file = need(fopen(path, "wb"));
    must(fwrite(data, 4, (size_t)elements, file) == (size_t)elements && fclose(file) == 0);
}

static void read_tokens(const char *path, int64_t b, int64_t l, int32_t *tokens, int32_t *targets)
{
    FILE *file = need(fopen(path, "rb"));
    for (int64_t row = 0; row < b; row++)
        for (int64_t i = 0; i <= l; i++) {
            int32_t id;
            must(fread(&id, 4, 1, file) == 1);
            if (i < l)
                tokens[row * l + i] = id;
            if (i > 0)
                targets[row * l + i - 1] = id;
        }
    (void)fclose(file);
}

#ifdef WITH_STEP
static void steps(BfmTensors *tensors, BfmPool *pool, BfmInstance *backward, const char *out)
{
    BfmUpdater *updater = need(bfm_updater_new(tensors, pool, &error));
    float losses[20];
    for (int step = 0; step < 20; step++) {
        double norm;
        must(bfm_instance_run(backward, 1, (uint64_t)step, &error));
        losses[step] = *(const float *)bfm_instance_output(backward, M_BACKWARD_LOSS_HEAD_0_CROSS_ENTROPY);
        must(m_step(updater, backward, 1, step, &norm, &error));
        if (step == 0)
            dump(out, "after_one", bfm_tensors_find(tensors, "ffn_0.w_in"), bfm_instance_output_count(backward, M_BACKWARD_GRAD_FFN_0_W_IN));
        if (step == 0)
            dump(out, "gradient", bfm_instance_output(backward, M_BACKWARD_GRAD_FFN_0_W_IN), bfm_instance_output_count(backward, M_BACKWARD_GRAD_FFN_0_W_IN));
    }
    dump(out, "losses", losses, 20);
    bfm_updater_free(updater);
}

/* ---- two ranks, each with half of the rows ---- */

enum { RANKS = 2, RANK_STEPS = 5 };

typedef struct Shared {
    pthread_barrier_t barrier;
    char *all;
} Shared;

typedef struct Rank {
    BfmComm comm;
    BfmTensors *tensors;
    int32_t *tokens, *targets;
    int64_t b, l;
    const char *out;
} Rank;

static bool gather(const BfmComm *comm, const void *mine, size_t bytes, void *all, BfmError *why)
{
    Shared *shared = comm->state;
    (void)why;
    memcpy(shared->all + (size_t)comm->rank * bytes, mine, bytes);
    (void)pthread_barrier_wait(&shared->barrier);
    memcpy(all, shared->all, RANKS * bytes);
    (void)pthread_barrier_wait(&shared->barrier);
    return true;
}

static void *rank_run(void *context)
{
    Rank *rank = context;
    BfmInstance *backward = need(m_backward(NULL, NULL));
    BfmUpdater *updater = need(bfm_updater_new(rank->tensors, NULL, NULL));
    bfm_updater_set_comm(updater, &rank->comm);
    must(bfm_tensors_bind(rank->tensors, "backward", backward, NULL));
    bfm_instance_set_formal(backward, M_BACKWARD_TOKENS, rank->tokens);
    bfm_instance_set_formal(backward, M_BACKWARD_TARGETS, rank->targets);
    must(bfm_model_bind(backward, rank->b, rank->l, NULL));
    for (int step = 0; step < RANK_STEPS; step++) {
        must(bfm_instance_run(backward, 1, (uint64_t)step, NULL) && m_step(updater, backward, 1, step, NULL, NULL));
        if (step == 0 && rank->comm.rank == 0)
            dump(rank->out, "gradient_of_ranks", bfm_instance_output(backward, M_BACKWARD_GRAD_FFN_0_W_IN), bfm_instance_output_count(backward, M_BACKWARD_GRAD_FFN_0_W_IN));
    }
    bfm_updater_free(updater);
    bfm_instance_free(backward);
    return NULL;
}

static void ranks(const int32_t *tokens, const int32_t *targets, int64_t b, int64_t l, const char *out)
{
    Shared shared = {.all = malloc(RANKS * 4 << 16)}; /* a reduction gathers so much at once */
    Rank each[RANKS];
    pthread_t threads[RANKS];
    const size_t bytes = (size_t)(b / RANKS * l) * 4;
    must(pthread_barrier_init(&shared.barrier, NULL, RANKS) == 0);
    for (int r = 0; r < RANKS; r++) {
        each[r] = (Rank){.comm = {.rank = r, .ranks = RANKS, .state = &shared, .gather = gather},
                         .tensors = need(bfm_tensors_new(&m_model, &error)),
                         .tokens = bfm_buffer_new(bytes),
                         .targets = bfm_buffer_new(bytes),
                         .b = b / RANKS,
                         .l = l,
                         .out = out};
        m_init(each[r].tensors, 7);
        memcpy(each[r].tokens, tokens + r * (b / RANKS) * l, bytes);
        memcpy(each[r].targets, targets + r * (b / RANKS) * l, bytes);
        must(pthread_create(&threads[r], NULL, rank_run, &each[r]) == 0);
    }
    for (int r = 0; r < RANKS; r++)
        must(pthread_join(threads[r], NULL) == 0);
    for (uint64_t t = 0; t < m_model.tensor_count; t++) { /* every rank has the same bits */
        int64_t elements = 1;
        for (uint64_t i = 0; i < m_model.tensors[t].rank; i++)
            elements *= m_model.tensors[t].shape[i];
        must(memcmp(bfm_tensors_at(each[0].tensors, (int64_t)t), bfm_tensors_at(each[1].tensors, (int64_t)t), (size_t)elements * 4) == 0);
    }
    for (int r = 0; r < RANKS; r++) {
        bfm_tensors_free(each[r].tensors);
        bfm_buffer_free(each[r].tokens);
        bfm_buffer_free(each[r].targets);
    }
    (void)pthread_barrier_destroy(&shared.barrier);
    free(shared.all);
}
#endif

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    const int64_t b = atoll(argv[3]), l = atoll(argv[4]);
    const char *out = argv[5];
    int32_t *tokens = bfm_buffer_new((size_t)(b * l) * 4), *targets = bfm_buffer_new((size_t)(b * l) * 4);
    BfmPool *pool = need(bfm_pool_new(2));
    BfmTensors *tensors = need(bfm_tensors_new(&m_model, &error));
    if (strcmp(argv[1], "-") == 0)
        m_init(tensors, 7);
    else
        must(bfm_tensors_load(tensors, argv[1], &error));
    read_tokens(argv[2], b, l, tokens, targets);

    BfmInstance *forward = need(m_forward(pool, &error));
    must(bfm_tensors_bind(tensors, "forward", forward, &error));
    bfm_instance_set_formal(forward, M_FORWARD_TOKENS, tokens);
    if (bfm_model_bind(forward, b, 1 << 20, &error) || error.kind != BFM_ERROR_INPUT || !strstr(error.message, "at most")) /* beyond any context */
        return 1;
    must(bfm_model_bind(forward, b, l, &error) && bfm_instance_run(forward, 1, 0, &error));
    dump(out, "logits", bfm_instance_output(forward, M_FORWARD_OUT_LOGITS), bfm_instance_output_count(forward, M_FORWARD_OUT_LOGITS));

    BfmInstance *backward = need(m_backward(pool, &error));
    must(bfm_tensors_bind(tensors, "backward", backward, &error));
    bfm_instance_set_formal(backward, M_BACKWARD_TOKENS, tokens);
    bfm_instance_set_formal(backward, M_BACKWARD_TARGETS, targets);
    must(bfm_model_bind(backward, b, l, &error) && bfm_instance_run(backward, 1, 0, &error));
    dump(out, "cross_entropy", bfm_instance_output(backward, M_BACKWARD_LOSS_HEAD_0_CROSS_ENTROPY), 1);
    dump(out, "table_gradient", bfm_instance_output(backward, M_BACKWARD_GRAD_EMBED_0_TABLE), bfm_instance_output_count(backward, M_BACKWARD_GRAD_EMBED_0_TABLE));

    BfmDecoder *decoder = need(bfm_tensors_decoder(tensors, pool, b, l, &error));
    const int64_t vocab = bfm_instance_output_count(forward, M_FORWARD_OUT_LOGITS) / (b * l);
    float *decoded = bfm_buffer_new((size_t)(b * l * vocab) * 4);
    int32_t *column = bfm_buffer_new((size_t)b * 4);
    for (int64_t i = 0; i < l; i++) {
        const float *result = NULL;
        for (int64_t row = 0; row < b; row++)
            column[row] = tokens[row * l + i];
        must(bfm_decoder_feed(decoder, column, 1, &result, &error));
        for (int64_t row = 0; row < b; row++)
            memcpy(decoded + (row * l + i) * vocab, result + row * vocab, (size_t)vocab * 4);
    }
    dump(out, "decoded", decoded, b * l * vocab);
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/saved.safetensors", out);
    must(bfm_tensors_save(tensors, path, &error));
    float *first = bfm_tensors_at(tensors, 0), kept = *first;
    *first = NAN; /* never kept, and named */
    if (bfm_tensors_save(tensors, path, &error) || error.kind != BFM_ERROR_INPUT || !strstr(error.message, m_model.tensors[0].path) || !strstr(error.message, "nan"))
        return 1;
    *first = kept;
    must(bfm_tensors_load(tensors, path, &error)); /* the file is the one that was whole */
#ifdef WITH_STEP
    steps(tensors, pool, backward, out);
    if (b % RANKS == 0 && strcmp(argv[1], "-") == 0)
        ranks(tokens, targets, b, l, out);
#else
    if (bfm_updater_new(tensors, pool, &error))
        return 1;
#endif
    bfm_decoder_free(decoder);
    bfm_instance_free(forward);
    bfm_instance_free(backward);
    bfm_tensors_free(tensors);
    bfm_pool_free(pool);
    bfm_buffer_free(tokens);
    bfm_buffer_free(targets);
    bfm_buffer_free(decoded);
    bfm_buffer_free(column);
    return 0;
}

/* Candidates a second, run by hand: candidate_bench [count] [FILE:BLOCK]. Each is a copy of the block with one attribute set, checked, lowered and counted
   as a search does it. Prints how many a second one core makes, and the process's memory after a tenth and after all of them. */
#define _GNU_SOURCE
#include "tree/edit.h"
#include "ir/ledger.h"
#include "lower/lower.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char TEXT[] =
    "use std.layers\nuse std.routers\nblock night {\n    attention(heads = 4)\n    moe(experts = 8, hidden = 256, router = topk(k = 2))\n    ffn(hidden = 384, act = geglu)\n    attention(heads = 2)\n"
    "    moe(experts = 4, hidden = 512, router = expert_choice())\n    ffn(hidden = 512)\n    moe(experts = 16, hidden = 128, router = topk(k = 1))\n    ffn(hidden = 256)\n}\n";

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static long resident_kilobytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * 4;
}

static const Node *block_of(const Module *module, const char *name)
{
    const Node *items = module->files[0].root->kids[FILE_ITEMS];
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_BLOCK && (!name || strcmp(list_at(items, i)->name, name) == 0))
            return list_at(items, i);
    return NULL;
}

static bool try_one(const Module *module, const Node *block, int number, double *parameters)
{
    Candidate candidate = candidate_new(module, block);
    const LowerOptions options = {.mode = MODE_TRAIN};
    const char *message;
    const Node *value = ast_number(candidate.module->arena, rational_int(16 * (1 + number % 97)));
    const char *paths[] = {"ffn_0.hidden", "ffn_1.hidden", "ffn_2.hidden", "moe_0.hidden", "moe_1.hidden", "moe_2.hidden"};
    for (int p = 0; p < 6; p++)
        if (number % 6 == p)
            (void)bfm_ast_set(candidate.module->arena, candidate.module->interner, candidate.item, paths[p], (Node *)value);
    const Lowered *lowered = candidate_check(&candidate, &message) ? lower_block(candidate.module, candidate.item, 128, 256, &options) : NULL;
    if (lowered)
        *parameters += (double)counts_total(program_cost(candidate.module->arena, lowered->program, 8, 256)->counts);
    candidate_free(&candidate);
    return lowered != NULL;
}

int main(int argc, char **argv)
{
    const int count = argc > 1 ? atoi(argv[1]) : 2000;
    Arena *arena = arena_new();
    Interner *interner = interner_new();
    Diagnostics *diags = diagnostics_new();
    const char *message = NULL, *colon = argc > 2 ? strchr(argv[2], ':') : NULL;
    const Module *module =
        argc > 2 ? module_load(arena, interner, diags, BFM_SOURCE_DIR "/stdlib", arena_strndup(arena, argv[2], colon ? (size_t)(colon - argv[2]) : strlen(argv[2])), &message)
                 : module_load_text(arena, interner, diags, BFM_SOURCE_DIR "/stdlib", "bench.bfm", TEXT, strlen(TEXT));
    const Node *block = module ? block_of(module, colon ? colon + 1 : NULL) : NULL;
    if (!block || diag_errors(diags) > 0) {
        fprintf(stderr, "candidate_bench: %s\n", message ? message : "no such block, or the file is in error");
        return 1;
    }
    double parameters = 0;
    long early = 0;
    int good = 0;
    const double begin = seconds();
    for (int i = 0; i < count; i++) {
        good += try_one(module, block, i, &parameters);
        if (i == count / 10)
            early = resident_kilobytes();
    }
    const double spent = seconds() - begin;
    printf("%d candidates, %d good, in %.3f s: %.0f a second; mean parameters %.0f; resident %ld kB after a tenth, %ld kB at the end\n", count, good, spent, count / spent,
           parameters / good, early, resident_kilobytes());
    interner_free(interner);
    diagnostics_free(diags);
    arena_free(arena);
    return 0;
}

/* Mutants by the million, run by hand: mutant_bench [count] [SPACE] [seed]. A chain of mutants of a space of stdlib/spaces.bfm (cpu): each must be a member, one
   change away, read back from its text as the same member, and lower. Prints how many a second, how often each kind of change was made, and the memory used. */
#include "lower/lower.h"
#include "parse/parse.h"
#include "space/space.h"
#include "tree/printer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char TEXT[] = "use std.layers\nuse std.routers\nuse std.spaces\nblock some {\n    ffn()\n}\n";

static const Node *block_of(const Node *file)
{
    for (int i = 0; i < list_count(file->kids[FILE_ITEMS]); i++)
        if (list_at(file->kids[FILE_ITEMS], i)->kind == NODE_BLOCK)
            return list_at(file->kids[FILE_ITEMS], i);
    return NULL;
}

/* NULL, or what is wrong with it. */
static const char *fault_of(const Module *module, const Node *block, const BfmSpace *space, const BfmMember *member)
{
    const LowerOptions options = {.mode = MODE_TRAIN};
    Candidate candidate = candidate_new(module, block);
    Module *own = candidate.module;
    const char *why = NULL, *message;
    const Node *made = bfm_space_block(space, own->arena, member, block->name);
    Str text = {0};
    ast_print(made, &text);
    const Node *file = parse_file(own->arena, own->interner, own->diags, "mutant.bfm", str_text(&text), text.length);
    const Node *parsed = diag_errors(own->diags) == 0 ? block_of(file) : NULL;
    memcpy(candidate.item->kids, (parsed ? parsed : made)->kids, (size_t)made->count * sizeof *made->kids);
    const BfmMember *read = parsed ? bfm_space_contains(space, own, candidate.item, own->arena, &why) : NULL;
    const char *fault = !parsed                                                 ? "it does not parse"
                        : !read                                                 ? "it is no member"
                        : !bfm_member_equal(member, read)                       ? "it is another when read"
                        : !candidate_check(&candidate, &message)                ? "it is no tree"
                        : !lower_block(own, candidate.item, 128, 256, &options) ? "it does not lower"
                                                                                : NULL;
    if (fault)
        fprintf(stderr, "mutant_bench: %s%s%s\n%s\n", fault, why ? ": " : "", why ? why : "", str_text(&text));
    str_free(&text);
    candidate_free(&candidate);
    return fault;
}

int main(int argc, char **argv)
{
    const long count = argc > 1 ? atol(argv[1]) : 10000;
    Arena *arena = arena_new(), *one = arena_new(), *other = arena_new();
    Interner *interner = interner_new();
    Diagnostics *diags = diagnostics_new();
    const Module *module = module_load_text(arena, interner, diags, BFM_SOURCE_DIR "/stdlib", "mutants.bfm", TEXT, strlen(TEXT));
    const Node *item = module ? module_find(module, intern(interner, argc > 2 ? argv[2] : "cpu"), NODE_SPACE, -1) : NULL, *block = module ? block_of(module->files[0].root) : NULL;
    BfmSpace *space = item && block ? bfm_space_open(module, item) : NULL;
    if (!space) {
        fprintf(stderr, "mutant_bench: no such space in stdlib/spaces.bfm\n");
        return 1;
    }
    BfmDraws draws = bfm_draws(argc > 3 ? (uint64_t)atoll(argv[3]) : 1, 0);
    const BfmMember *member = bfm_space_sample(space, one, &draws);
    long kinds[CHANGE_COUNT] = {0}, faults = 0, far = 0, made = 0;
    const clock_t begin = clock();
    for (; made < count && member; made++) {
        BfmChange change;
        const BfmMember *mutant = bfm_space_mutate(space, other, member, NULL, &draws, &change);
        if (!mutant)
            break;
        kinds[change.kind]++;
        far += bfm_space_distance(member, mutant) != 1;
        faults += fault_of(module, block, space, mutant) != NULL;
        Arena *spare = one;
        member = mutant;
        one = other;
        other = spare;
        arena_reset(other);
    }
    const double spent = (double)(clock() - begin) / CLOCKS_PER_SEC;
    printf("%ld mutants, %ld at fault, %ld not one change away, %.0f a second; %zu kB of tables\n", made, faults, far, (double)made / spent, arena_bytes(arena) / 1024);
    for (int k = 0; k < CHANGE_COUNT; k++)
        printf("  %-8s %ld\n", change_text((ChangeKind)k), kinds[k]);
    bfm_space_close(space);
    arena_free(arena);
    arena_free(one);
    arena_free(other);
    interner_free(interner);
    diagnostics_free(diags);
    return faults > 0 || far > 0 || made < count;
}

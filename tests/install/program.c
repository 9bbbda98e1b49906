/* A compiled model on the caller's memory: loss and one gradient against a difference. FILE MODEL */
#include <bfm/check.h>
#include <bfm/context.h>
#include <bfm/program.h>
#include <bfm/tree.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, LENGTH = 8 };

static int find_output(const BfmProgram *program, BfmSlotKind kind, const char *name)
{
    for (int o = 0; o < bfm_program_output_count(program); o++) {
        const BfmSlot slot = bfm_program_output(program, o);
        if (slot.kind == kind && (!name || strcmp(slot.name, name) == 0))
            return o;
    }
    return -1;
}

static double loss_of(BfmProgram *program)
{
    BfmError error;
    if (!bfm_program_run(program, 1, 0, &error)) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    return (double)*(const float *)bfm_program_result(program, find_output(program, BFM_SLOT_LOSS, NULL));
}

int main(int argc, char **argv)
{
    BfmError error = {BFM_OK, ""};
    BfmContext *context = bfm_context_new(NULL, &error);
    BfmModule *module = context && argc > 2 ? bfm_module_load(context, argv[1], &error) : NULL;
    BfmProgram *program = module ? bfm_program_new(module, argv[2], BFM_PROGRAM_BACKWARD, 1, &error) : NULL;
    if (!program || bfm_program_run(program, 1, 0, &error) || !strstr(error.message, "not bound") || !bfm_program_bind(program, BATCH, LENGTH, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    if (bfm_program_run(program, 1, 0, &error) || !strstr(error.message, "has no memory"))
        return 1;
    float *moved = NULL;
    const char *name = NULL;
    for (int i = 0; i < bfm_program_input_count(program); i++) {
        const BfmSlot slot = bfm_program_input(program, i);
        void *memory = aligned_alloc(64, ((size_t)slot.elements * 4 + 63) / 64 * 64);
        for (int64_t k = 0; slot.integer && k < slot.elements; k++)
            ((int32_t *)memory)[k] = (int32_t)((k * 7 + i) % 11);
        if (!slot.integer && slot.kind != BFM_SLOT_INPUT && !bfm_program_initial(program, i, 1, memory, &error))
            return 1;
        if (!slot.integer && slot.kind == BFM_SLOT_PARAM && slot.rank == 2 && !moved)
            moved = memory, name = slot.name;
        bfm_program_set_input(program, i, memory);
    }
    (void)loss_of(program);
    const double gradient = (double)((const float *)bfm_program_result(program, find_output(program, BFM_SLOT_GRAD, name)))[7];
    const float kept = moved[7], by = 0.01F;
    moved[7] = kept + by;
    const double up = loss_of(program);
    moved[7] = kept - by;
    const double down = loss_of(program), difference = (up - down) / (2 * (double)by);
    printf("%s %.6g %.6g\n", name, gradient, difference);
    bfm_program_free(program);
    bfm_module_free(module);
    bfm_context_free(context);
    return fabs(gradient - difference) <= 1e-3 + 0.02 * fabs(gradient) ? 0 : 1;
}

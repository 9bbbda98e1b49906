/* Sums of products without a pass of their own: y = x + p, element by element, where p comes from a product and nothing else reads it. The product
   then adds to x and writes y; further products of the same sum add to y where it lies.
   requires   steps in order, those that nothing needs left out
   preserves  values up to the order of the sum's terms, which is fixed here; a product may run later than before, where all it reads is still there
              anyway */
#include "ir/rewrite.h"
#include "schedule/schedule_internal.h"

#include "support/bug.h"

enum { TERMS_MAX = 6 };

/* Who writes and reads a tensor. */
typedef struct TensorUse {
    int writer, last; /* steps, -1 */
    int readers;      /* steps */
    bool kept, next;  /* an output; the next value of a state, whose memory may be the state's */
} TensorUse;

typedef struct Sums {
    Scheduler *scheduler;
    TensorUse *uses;
    int step;   /* being visited */
    int *place; /* per step: the step before which it is put; itself, unless it moves */
    bool *gone; /* per step: nothing is left of it */
} Sums;

/* y = terms[0] + terms[1] + …, all read where y is written. */
typedef struct Sum {
    int step, out, count;
    int terms[TERMS_MAX];
    int other; /* the term that no product makes, -1 */
    int product_count;
    int products[TERMS_MAX]; /* steps, rising */
} Sum;

/* ---- who uses what -------------------------------------------------------------------------------------------------------- */

static void use_visit(void *user, int tensor, bool write)
{
    Sums *sums = user;
    TensorUse *use = &sums->uses[tensor];
    if (write && use->writer < 0)
        use->writer = sums->step;
    if (!write)
        use->readers++, use->last = sums->step;
}

static void uses_find(Sums *sums)
{
    const Schedule *schedule = sums->scheduler->schedule;
    const Unit *unit = sums->scheduler->unit;
    sums->uses = ARENA_ARRAY(sums->scheduler->arena, TensorUse, unit->tensor_count + 1);
    for (int t = 0; t < unit->tensor_count; t++)
        sums->uses[t] = (TensorUse){.writer = -1, .last = -1};
    for (int f = 0; f < unit->formal_count; f++)
        sums->uses[unit->formals[f]].kept = true;
    for (int o = 0; o < unit->output_count; o++) {
        sums->uses[unit->outputs[o].tensor].kept = true;
        if (unit->outputs[o].kind == OUTPUT_NEXT)
            sums->uses[unit->outputs[o].tensor].next = true;
    }
    for (int s = 0; s < schedule->step_count; s++) {
        sums->step = s;
        step_visit(schedule, &schedule->steps[s], use_visit, sums);
    }
}

/* ---- finding sums --------------------------------------------------------------------------------------------------------- */

/* The element read is the one written: the same subscripts, in a tensor of the same shape. */
static bool read_in_place(const Unit *unit, const Op *op, const Access *read)
{
    const Tensor *from = &unit->tensors[read->tensor], *to = &unit->tensors[op->out.tensor];
    Access same = *read;
    same.tensor = op->out.tensor;
    if (from->type != T_REAL || from->rank != to->rank || !access_equal(&same, &op->out))
        return false;
    for (int i = 0; i < from->rank; i++) {
        if (from->extent[i] != to->extent[i])
            return false;
    }
    return true;
}

static bool terms_find(const Unit *unit, const Op *op, int id, Sum *sum)
{
    const Expr *node = &op->exprs[id];
    if (node->kind == EXPR_ADD)
        return terms_find(unit, op, node->arg[0], sum) && terms_find(unit, op, node->arg[1], sum);
    if (node->kind != EXPR_READ || sum->count == TERMS_MAX || !read_in_place(unit, op, &node->access))
        return false;
    for (int t = 0; t < sum->count; t++) {
        if (sum->terms[t] == node->access.tensor)
            return false;
    }
    sum->terms[sum->count++] = node->access.tensor;
    return true;
}

/* The product that makes this term for the sum alone, -1 if there is none. */
static int product_for(const Sums *sums, int term)
{
    const TensorUse *use = &sums->uses[term];
    if (use->kept || use->readers != 1 || use->writer < 0 || sums->gone[use->writer] || sums->place[use->writer] != use->writer)
        return -1;
    const Step *step = &sums->scheduler->schedule->steps[use->writer];
    const Gemm *gemm = step->record;
    return step->kind == BFM_KERNEL_GEMM && gemm->c == term && gemm->addend < 0 ? use->writer : -1;
}

static bool sum_find(const Sums *sums, int position, Sum *sum)
{
    const Unit *unit = sums->scheduler->unit;
    const Step *step = &sums->scheduler->schedule->steps[position];
    if (!step_is_operation(step))
        return false;
    const Op *op = &unit->ops[step->op];
    *sum = (Sum){.step = position, .out = op->out.tensor, .other = -1};
    if (op->kind != OP_NEST || op->reducer != REDUCE_SET || op->init.tensor >= 0 || !op_full_box(op) || !op_out_bare(unit, op, NULL))
        return false;
    if (unit->tensors[sum->out].type != T_REAL || sums->uses[sum->out].next || !terms_find(unit, op, op->body, sum) || sum->count < 2)
        return false;
    for (int t = 0; t < sum->count; t++) {
        const int product = product_for(sums, sum->terms[t]);
        if (product < 0 && sum->other >= 0)
            return false;
        if (product < 0) {
            sum->other = sum->terms[t];
            continue;
        }
        int at = sum->product_count++;
        for (; at > 0 && sum->products[at - 1] > product; at--)
            sum->products[at] = sum->products[at - 1];
        sum->products[at] = product;
    }
    return sum->product_count > 0;
}

/* ---- folding -------------------------------------------------------------------------------------------------------------- */

typedef struct Late {
    const Sums *sums;
    int until;
    bool ok;
} Late;

static void late_visit(void *user, int tensor, bool write)
{
    Late *late = user;
    const TensorUse *use = &late->sums->uses[tensor];
    if (!write && !use->kept && use->last < late->until)
        late->ok = false;
}

/* A product may as well run at step `until`: nothing it reads is kept longer for that, nor written again before (a state extended in place). */
static bool can_run_late(const Sums *sums, int product, int until)
{
    const Schedule *schedule = sums->scheduler->schedule;
    Late late = {.sums = sums, .until = until, .ok = true};
    step_visit(schedule, &schedule->steps[product], late_visit, &late);
    for (int s = product + 1; s < until && late.ok; s++) {
        const Step *step = &schedule->steps[s];
        const Op *op = step_is_operation(step) ? &sums->scheduler->unit->ops[step->op] : NULL;
        if (op != NULL && op->kind == OP_NEST && op->init.tensor >= 0)
            late.ok = false;
    }
    return late.ok;
}

static bool covers(const Step *step) { return ((const Gemm *)step->record)->form == BFM_GEMM_PLAIN && !step->clear; }

static void product_adds(Sums *sums, int position, int out)
{
    Step *step = &sums->scheduler->schedule->steps[position];
    Gemm *gemm = step->record;
    gemm->c = gemm->addend = out, step->clear = false;
}

/* Without another term: the first product begins the sum. */
static void sum_of_products(Sums *sums, const Sum *sum)
{
    Gemm *begins = sums->scheduler->schedule->steps[sum->products[0]].record;
    begins->c = sum->out;
    for (int p = 1; p < sum->product_count; p++)
        product_adds(sums, sum->products[p], sum->out);
    sums->gone[sum->step] = true;
}

/* With another term: the first product after it adds to it, those before it run late. If none is after it, the last one runs in the sum's place. */
static bool sum_with_term(Sums *sums, const Sum *sum)
{
    Step *steps = sums->scheduler->schedule->steps;
    const int made = sums->uses[sum->other].writer;
    int first = 0;
    while (first < sum->product_count && sum->products[first] < made)
        first++;
    if (first == sum->product_count)
        first--;
    for (int p = 0; p < sum->product_count && sum->products[p] < made; p++) {
        if (!can_run_late(sums, sum->products[p], sum->step))
            return false;
    }
    Gemm *gemm = steps[sum->products[first]].record;
    if (!covers(&steps[sum->products[first]]))
        return false;
    for (int p = 0; p < sum->product_count; p++) {
        if (sum->products[p] < made)
            sums->place[sum->products[p]] = sum->step;
        if (p != first)
            product_adds(sums, sum->products[p], sum->out);
    }
    gemm->c = sum->out, gemm->addend = sum->other;
    if (first > 0 && sum->products[first] < made) { /* all are late, the first of them in order begins */
        BFM_ASSERT(first == sum->product_count - 1);
        const Step begins = steps[sum->products[first]];
        for (int p = first; p > 0; p--)
            steps[sum->products[p]] = steps[sum->products[p - 1]];
        steps[sum->products[0]] = begins;
    }
    sums->gone[sum->step] = true;
    return true;
}

/* Puts the steps that moved where they belong: few do. */
static void steps_rebuild(const Sums *sums)
{
    Schedule *schedule = sums->scheduler->schedule;
    Step *steps = ARENA_ARRAY(sums->scheduler->arena, Step, schedule->step_count + 1);
    int *moved = ARENA_ARRAY(sums->scheduler->arena, int, schedule->step_count + 1);
    int count = 0, moves = 0;
    for (int s = 0; s < schedule->step_count; s++) {
        if (sums->place[s] != s)
            moved[moves++] = s;
        for (int m = 0; m < moves; m++) {
            if (sums->place[moved[m]] == s)
                steps[count++] = schedule->steps[moved[m]];
        }
        if (sums->place[s] == s && !sums->gone[s])
            steps[count++] = schedule->steps[s];
    }
    schedule->steps = steps, schedule->step_count = schedule->step_capacity = count;
}

void schedule_accumulate(Scheduler *scheduler)
{
    Schedule *schedule = scheduler->schedule;
    Sums sums = {
        .scheduler = scheduler, .place = ARENA_ARRAY(scheduler->arena, int, schedule->step_count + 1), .gone = ARENA_ARRAY(scheduler->arena, bool, schedule->step_count + 1)};
    bool changed = false;
    for (int s = 0; s < schedule->step_count; s++)
        sums.place[s] = s;
    uses_find(&sums);
    for (int s = 0; s < schedule->step_count; s++) {
        Sum sum;
        if (!sum_find(&sums, s, &sum))
            continue;
        if (sum.other < 0)
            sum_of_products(&sums, &sum);
        else if (!sum_with_term(&sums, &sum))
            continue;
        changed = true;
    }
    if (changed)
        steps_rebuild(&sums);
}

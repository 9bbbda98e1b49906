/* The points of an operation's index space, a chunk at a time, and the offsets of its accesses there. */
#include "ir/interp_internal.h"

#include "support/checked.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void run_fail(Run *run, const char *format, ...)
{
    if (run->error)
        return;
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    run->error = arena_strdup(run->arena, text);
}

static int64_t affine_at(const BoundAffine *affine, const int64_t *position)
{
    int64_t value = affine->base;
    for (int i = 0; i < affine->count; i++)
        value += affine->coef[i] * position[affine->index[i]];
    return value;
}

/* Where the conditions leave points of the innermost loop, the outer indices being where they are. */
static void inner_range(Space *space)
{
    space->low = 0;
    space->high = space->inner < 0 ? 1 : space->extent[space->inner];
    if (!space->cut)
        return;
    if (space->inner >= 0)
        space->position[space->inner] = 0;
    for (int i = 0; i < space->cond_count; i++) {
        const BoundAffine *cond = &space->conds[i];
        const int64_t rest = affine_at(cond, space->position);
        int64_t low = 0, high = space->high;
        if (cond->inner > 0)
            low = ceil_div(-rest, cond->inner);
        else if (cond->inner < 0)
            high = floor_div(rest, -cond->inner) + 1;
        else if (rest < 0)
            high = 0;
        space->low = low > space->low ? low : space->low;
        space->high = high < space->high ? high : space->high;
    }
}

/* Moves the outer loops on; false at the end. */
static bool outer_step(Space *space)
{
    if (!space->started) {
        space->started = true;
        for (int i = 0; i < space->count; i++)
            space->position[i] = space->backwards[i] ? space->extent[i] - 1 : 0;
        return !space->empty;
    }
    for (int loop = space->count - 2; loop >= 0; loop--) {
        const int index = space->order[loop];
        if (space->backwards[index]) {
            if (space->position[index]-- > 0)
                return true;
            space->position[index] = space->extent[index] - 1;
        } else {
            if (++space->position[index] < space->extent[index])
                return true;
            space->position[index] = 0;
        }
    }
    return false;
}

static void mark_inside(const Space *space, Chunk *chunk)
{
    memset(chunk->inside, 1, (size_t)chunk->count);
    if (space->cut)
        return;
    for (int c = 0; c < space->cond_count; c++) {
        int64_t values[CHUNK];
        affine_values(&space->conds[c], chunk, values);
        for (int i = 0; i < chunk->count; i++)
            chunk->inside[i] = chunk->inside[i] && values[i] >= 0;
    }
}

static void count_points(Run *run, int64_t count)
{
    run->points += count;
    if (run->context->point_limit > 0 && run->points > run->context->point_limit)
        run_fail(run, "more than %" PRId64 " points", run->context->point_limit);
}

bool space_next(BoundOp *bound)
{
    Space *space = &bound->space;
    Chunk *chunk = &bound->chunk;
    Run *run = bound->run;
    chunk->count = chunk->runs = 0;
    while (chunk->count < CHUNK && !run->error) {
        if (space->low >= space->high) {
            space->done = space->done || !outer_step(space);
            if (space->done)
                break;
            inner_range(space);
            count_points(run, 1); /* an empty stretch takes time too */
            continue;
        }
        const int64_t left = space->high - space->low;
        const int length = left < CHUNK - chunk->count ? (int)left : CHUNK - chunk->count;
        int64_t *position = chunk->position + (size_t)chunk->runs * (size_t)chunk->indices;
        if (chunk->indices)
            memcpy(position, space->position, (size_t)chunk->indices * sizeof *position);
        if (space->inner >= 0)
            position[space->inner] = space->backwards[space->inner] ? space->extent[space->inner] - 1 - space->low : space->low;
        chunk->begin[chunk->runs++] = chunk->count;
        chunk->count += length;
        space->low += length;
        count_points(run, length);
    }
    chunk->begin[chunk->runs] = chunk->count;
    mark_inside(space, chunk);
    return chunk->count > 0 && !run->error;
}

void affine_values(const BoundAffine *affine, const Chunk *chunk, int64_t *values)
{
    const int64_t step = affine->inner * chunk->step;
    for (int r = 0; r < chunk->runs; r++) {
        int64_t value = affine_at(affine, chunk->position + (size_t)r * (size_t)chunk->indices);
        for (int i = chunk->begin[r]; i < chunk->begin[r + 1]; i++, value += step)
            values[i] = value;
    }
}

static void out_of_range(BoundOp *bound, const BoundAccess *access, int sub, int64_t value)
{
    run_fail(bound->run, "%s: operation %d: subscript %d of %s is %" PRId64 ", outside 0 .. %" PRId64, bound->unit->name, bound->number, sub + 1, access->name, value,
             access->subs[sub].extent - 1);
}

void access_offsets(BoundOp *bound, BoundAccess *access, bool excludes)
{
    Chunk *chunk = &bound->chunk;
    if (access->linear) {
        affine_values(&access->whole, chunk, access->offset);
        return;
    }
    int64_t values[CHUNK];
    memset(access->offset, 0, sizeof access->offset);
    for (int s = 0; s < access->count && !bound->run->error; s++) {
        const BoundSub *sub = &access->subs[s];
        if (sub->read) {
            access_offsets(bound, sub->read, excludes);
            const Value *value = sub->read->value;
            for (int i = 0; i < chunk->count; i++)
                values[i] = value->count ? value->integer[sub->read->offset[i]] : -1;
        } else {
            affine_values(&sub->affine, chunk, values);
        }
        for (int i = 0; i < chunk->count; i++) {
            if (values[i] >= 0 && values[i] < sub->extent) {
                access->offset[i] += values[i] * sub->stride;
            } else if (sub->read && values[i] < 0) {
                if (excludes)
                    chunk->alive[i] = false;
            } else if (chunk->inside[i]) {
                out_of_range(bound, access, s, values[i]);
                return;
            }
        }
    }
}

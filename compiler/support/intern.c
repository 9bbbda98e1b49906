#include "support/intern.h"

#include "support/arena.h"
#include "support/bug.h"
#include "support/hash.h"

#include <stdlib.h>
#include <string.h>

typedef struct Slot {
    Symbol text;
    size_t length;
    uint64_t hash;
} Slot;

struct Interner {
    const Interner *base; /* NULL: none */
    Arena *arena;
    Slot *slots; /* open addressing; capacity a power of two, at most half full */
    size_t capacity, count;
};

static Slot *slots_new(size_t capacity)
{
    Slot *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        bfm_out_of_memory("the names of a program", capacity * sizeof *slots);
    return slots;
}

Interner *interner_new(void)
{
    Interner *interner = calloc(1, sizeof *interner);
    if (!interner)
        bfm_out_of_memory("the names of a program", sizeof *interner);
    *interner = (Interner){.arena = arena_new(), .slots = slots_new(256), .capacity = 256};
    return interner;
}

Interner *interner_over(const Interner *base)
{
    Interner *interner = interner_new();
    interner->base = base;
    return interner;
}

void interner_free(Interner *interner)
{
    if (!interner)
        return;
    arena_free(interner->arena);
    free(interner->slots);
    free(interner);
}

static Slot *slot_find(Slot *slots, size_t capacity, const char *text, size_t length, uint64_t hash)
{
    for (size_t i = hash & (capacity - 1);; i = (i + 1) & (capacity - 1)) {
        Slot *slot = &slots[i];
        if (!slot->text || (slot->hash == hash && slot->length == length && memcmp(slot->text, text, length) == 0))
            return slot;
    }
}

static void grow(Interner *interner)
{
    const size_t capacity = interner->capacity * 2;
    Slot *slots = slots_new(capacity);
    for (size_t i = 0; i < interner->capacity; i++) {
        const Slot *old = &interner->slots[i];
        if (old->text)
            *slot_find(slots, capacity, old->text, old->length, old->hash) = *old;
    }
    free(interner->slots);
    interner->slots = slots;
    interner->capacity = capacity;
}

Symbol intern_n(Interner *interner, const char *text, size_t length)
{
    const uint64_t hash = hash_bytes(text, length, 0);
    for (const Interner *base = interner->base; base; base = base->base) {
        const Slot *known = slot_find(base->slots, base->capacity, text, length, hash);
        if (known->text)
            return known->text;
    }
    if (2 * (interner->count + 1) > interner->capacity)
        grow(interner);
    Slot *slot = slot_find(interner->slots, interner->capacity, text, length, hash);
    if (!slot->text) {
        *slot = (Slot){.text = arena_strndup(interner->arena, text, length), .length = length, .hash = hash};
        interner->count++;
    }
    return slot->text;
}

Symbol intern(Interner *interner, const char *text) { return intern_n(interner, text, strlen(text)); }

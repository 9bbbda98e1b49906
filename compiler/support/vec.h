/* Growable arrays. VEC(T) declares { T *items; int count, capacity; }; memory is from malloc, freed by vec_free.
   A vector that lives in an arena is copied there when it is complete (arena_memdup). */
#ifndef BFM_SUPPORT_VEC_H
#define BFM_SUPPORT_VEC_H

#include <stddef.h>
#include <stdlib.h>

#define VEC(type)                                                                                                                                                                  \
    struct {                                                                                                                                                                       \
        type *items;                                                                                                                                                               \
        int count, capacity;                                                                                                                                                       \
    }

void *vec_grow(void *items, int *capacity, int needed, size_t size);

#define vec_push(vec, ...)                                                                                                                                                         \
    ((vec)->count == (vec)->capacity ? (void)((vec)->items = vec_grow((vec)->items, &(vec)->capacity, (vec)->count + 1, sizeof *(vec)->items)) : (void)0,                          \
     (vec)->items[(vec)->count++] = (__VA_ARGS__))
#define vec_reserve(vec, needed) ((needed) > (vec)->capacity ? (void)((vec)->items = vec_grow((vec)->items, &(vec)->capacity, (needed), sizeof *(vec)->items)) : (void)0)
#define vec_last(vec)            ((vec)->items[(vec)->count - 1])
#define vec_pop(vec)             ((vec)->items[--(vec)->count])
#define vec_free(vec)            (free((vec)->items), (vec)->items = NULL, (vec)->count = (vec)->capacity = 0)

#endif

/* A hash table with open addressing; it grows at a load of one half. */
#include "support/pointer_map.h"

#include "support/bug.h"
#include "support/hash.h"

#include <stdint.h>
#include <stdlib.h>

/* The slot of the key: the one that holds it, or the free one where it goes. */
static int slot_of(const PointerMap *map, const void *key)
{
    const unsigned mask = (unsigned)map->room - 1;
    unsigned at = (unsigned)hash_fold(0, (uint64_t)(uintptr_t)key) & mask;
    while (map->keys[at] && map->keys[at] != key)
        at = (at + 1) & mask;
    return (int)at;
}

int pointer_map_find(const PointerMap *map, const void *key)
{
    if (map->room == 0)
        return -1;
    const int at = slot_of(map, key);
    return map->keys[at] ? map->values[at] : -1;
}

static void grow(PointerMap *map)
{
    PointerMap larger = {.room = map->room ? 2 * map->room : 64};
    larger.keys = calloc((size_t)larger.room, sizeof *larger.keys);
    larger.values = calloc((size_t)larger.room, sizeof *larger.values);
    if (!larger.keys || !larger.values)
        bfm_out_of_memory("a table of the compiler", (size_t)larger.room * (sizeof *larger.keys + sizeof *larger.values));
    for (int i = 0; i < map->room; i++)
        if (map->keys[i])
            pointer_map_set(&larger, map->keys[i], map->values[i]);
    pointer_map_free(map);
    *map = larger;
}

void pointer_map_set(PointerMap *map, const void *key, int value)
{
    if (2 * (map->count + 1) > map->room)
        grow(map);
    const int at = slot_of(map, key);
    map->count += map->keys[at] == NULL;
    map->keys[at] = key;
    map->values[at] = value;
}

void pointer_map_free(PointerMap *map)
{
    free(map->keys);
    free(map->values);
    *map = (PointerMap){0};
}

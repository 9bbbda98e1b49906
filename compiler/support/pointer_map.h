/* From pointers (names, units) to whole numbers from 0: what is looked up often among many. */
#ifndef BFM_SUPPORT_POINTER_MAP_H
#define BFM_SUPPORT_POINTER_MAP_H

typedef struct PointerMap {
    const void **keys; /* [room], NULL: free */
    int *values;
    int count, room; /* room: 0 or a power of two, more than count */
} PointerMap;

int pointer_map_find(const PointerMap *map, const void *key);      /* -1: not there */
void pointer_map_set(PointerMap *map, const void *key, int value); /* replaces the value of a key that is there; key not NULL */
void pointer_map_free(PointerMap *map);                            /* leaves it empty */

#endif

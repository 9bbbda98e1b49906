/* The JSON header of a safetensors file, read into entries and checked against the number of data bytes that follow it. */
#ifndef BFM_FILE_SAFETENSORS_HEADER_H
#define BFM_FILE_SAFETENSORS_HEADER_H

#include "file/safetensors.h"

typedef struct SafetensorsEntry {
    BfmTensor tensor;   /* its data is not set */
    int64_t begin, end; /* bytes from the start of the data */
} SafetensorsEntry;

typedef struct SafetensorsHeader {
    SafetensorsEntry *entries; /* [count], sorted by name */
    int64_t count;
    BfmMetadata *metadata; /* [metadata_count], sorted by key */
    int64_t metadata_count;
    char *strings; /* what names, keys and values point into */
} SafetensorsHeader;

/* False (INPUT, naming `path`): no such header. The data must be covered once, without holes. The header needs safetensors_header_deinit in either case. */
bool safetensors_header_read(SafetensorsHeader *header, const char *path, const char *text, size_t length, int64_t data_bytes, BfmError *error);
void safetensors_header_deinit(SafetensorsHeader *header);

const SafetensorsEntry *safetensors_header_find(const SafetensorsHeader *header, const char *name); /* NULL: absent */
const char *safetensors_header_metadata(const SafetensorsHeader *header, const char *key);          /* NULL: absent */

#endif

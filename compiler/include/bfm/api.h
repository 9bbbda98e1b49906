/* What every public header of libbfm shares. */
#ifndef BFM_API_H
#define BFM_API_H

#include <bfm/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Marks what the library exports. */
#define BFM_API __attribute__((visibility("default")))

typedef struct BfmContext BfmContext;
typedef struct BfmModule BfmModule;

/* Frees a text that a function of this library returned. NULL is allowed. */
BFM_API void bfm_text_free(char *text);

#ifdef __cplusplus
}
#endif

#endif

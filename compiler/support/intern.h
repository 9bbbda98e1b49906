/* Interned names: equal text = equal pointer, within one Interner. A symbol lives as long as its interner. */
#ifndef BFM_SUPPORT_INTERN_H
#define BFM_SUPPORT_INTERN_H

#include <stddef.h>

typedef const char *Symbol; /* NUL-terminated */
typedef struct Interner Interner;

Interner *interner_new(void);
/* Sees the names of `base` and adds its own beside them: a candidate's. While it lives, `base` must live and take no new names; then several of them may be
   used in threads at once. */
Interner *interner_over(const Interner *base);
void interner_free(Interner *interner);
Symbol intern(Interner *interner, const char *text);
Symbol intern_n(Interner *interner, const char *text, size_t length);

#endif

/* Trees as text for `show --emit=ast`: every field that counts, nothing about layout. */
#ifndef BFM_TREE_DUMP_H
#define BFM_TREE_DUMP_H

#include "tree/ast.h"

/* One node per line, indented: `let`, then its slots by name. */
void ast_dump(const Node *node, Str *out);
/* {"kind": "line", "name": …, "op": …, "span": [begin, end], slot: node | [nodes] | null, …} */
void ast_dump_json(const Node *node, Str *out);

#endif

/* The canonical text of a tree: `bfmc fmt`, and how tools write what they made. There are no options.

   Four blanks per level, lines of at most PRINT_WIDTH columns where a break is possible, runs of settings aligned. Kept from the source: comments, single empty
   lines, parentheses that were written, the spelling of numbers, and whether a body stands on one line (it goes back to several if it does not fit).
   Printing what was parsed and parsing it again gives an equal tree; printing that gives the same text. */
#ifndef BFM_TREE_PRINTER_H
#define BFM_TREE_PRINTER_H

#include "tree/ast.h"

enum { PRINT_WIDTH = 120, PRINT_INDENT = 4 };

/* A FILE with its final newline, any other node without. ERROR nodes print as a comment: do not format a file that has errors. */
void ast_print(const Node *node, Str *out);
/* On one line, comments left out: for messages. */
void ast_print_flat(const Node *node, Str *out);

#endif

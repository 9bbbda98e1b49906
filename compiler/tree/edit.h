/* Editing trees: what mutators, `--set`, `scale` and other tools call. A tree edited through this interface stays well-formed (ast_check) as long as the nodes
   handed in are; whether it still type-checks is the checker's business.

   Paths. `deep.ffn_1.hidden`: an item of the file (left out where the root is a block or model itself), labels of lines, then an attribute.
     label      the one written, else the definition's name and its ordinal among the lines of that definition in the body, labelled or not: ffn_0.
                parallel_0 and at_0 are scopes of their own; the lines of a `repeat` are reached without it, and repeat_0 names the repeat itself.
                A repetition `[r]` after a label is skipped: the lines of a repeat share one text.
     attribute  of a line: an argument, `norm` or `wiring`; of a repeat its `count`, of an `at` its `width`; then, through values that are definitions with
                attributes bound, theirs: mix.router.capacity. Of a block, model or definition: an attribute's default; of a model also a setting. Of a recipe or search: a setting. */
#ifndef BFM_TREE_EDIT_H
#define BFM_TREE_EDIT_H

#include "tree/ast.h"

typedef enum {
    BFM_AST_OK,
    BFM_AST_NO_SUCH_PATH,     /* nothing has this path */
    BFM_AST_NOT_A_LINE,       /* the path names something that is not a line of a body */
    BFM_AST_NOT_AN_ATTRIBUTE, /* the path names something that has no value */
    BFM_AST_OUT_OF_RANGE,     /* no such position, or fewer lines there */
    BFM_AST_WRONG_NODE,       /* a node of this kind cannot stand there */
    BFM_AST_OVERLAP           /* swapping a line with one inside it */
} BfmAstStatus;
const char *bfm_ast_status_text(BfmAstStatus status);

/* Deep copy into the arena. */
Node *bfm_ast_clone(Arena *arena, const Node *node);
bool bfm_ast_equal(const Node *a, const Node *b);
uint64_t bfm_ast_hash(const Node *node);

/* Borrowed; `root` is a FILE, BLOCK or MODEL. NULL where there is none. */
Node *bfm_ast_item(const Node *file, const char *name);
/* The LINE, REPEAT, PARALLEL or AT of this path. */
Node *bfm_ast_line(Node *root, const char *path);
/* An attribute's value as written; NULL where it is not given (its default holds). */
Node *bfm_ast_get(Node *root, const char *path);
/* The lines of a body in the order of the text, those of repeats among them, with their labels (allocated); returns how many there are, of which the first
   `room` are written. `path` names a block, model, at or parallel; "" for a root that is a block or model. -1 where it names none. */
int bfm_ast_lines(Arena *arena, Node *root, const char *path, Node **lines, const char **labels, int room);

/* Sets an attribute, adding the argument or setting where it is not given. `value` becomes part of the tree. */
BfmAstStatus bfm_ast_set(Arena *arena, Interner *interner, Node *root, const char *path, Node *value);
/* Takes an argument, override or setting away: its default holds again. */
BfmAstStatus bfm_ast_unset(Node *root, const char *path);

/* `body` names a block, model, repeat, at, or a branch: parallel_0 takes `|0`, `|1`, … after it. position: 0 … the number of its direct lines. */
BfmAstStatus bfm_ast_insert(Arena *arena, Node *root, const char *body, int position, Node *line);
BfmAstStatus bfm_ast_remove(Node *root, const char *path);
BfmAstStatus bfm_ast_replace(Node *root, const char *path, Node *line);
BfmAstStatus bfm_ast_swap(Node *root, const char *path, const char *other);
/* Puts `count` consecutive lines, from the one of this path on, into a REPEAT (`parameter`: how often; `shared`), an AT (`parameter`: the width) or a PARALLEL (each
   line one branch; `parameter` NULL). */
BfmAstStatus bfm_ast_wrap(Arena *arena, Node *root, const char *path, int count, NodeKind kind, Node *parameter, bool shared);
/* The inverse: the lines of a repeat or at take its place. */
BfmAstStatus bfm_ast_unwrap(Arena *arena, Node *root, const char *path);

/* A call with these named arguments, as a line: names and values in pairs, ended by NULL. */
Node *bfm_ast_make_line(Arena *arena, Interner *interner, const char *definition, ...);

#endif

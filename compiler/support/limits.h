/* What a program may be at most. docs/language.md lists every row with the same number (tests/purity compares the two); `bfmc explain` names the code that refuses more.
   They bound memory and time: below each of them both grow no faster than the text, the program written out, or what the message says. */
#ifndef BFM_SUPPORT_LIMITS_H
#define BFM_SUPPORT_LIMITS_H

#include <stdint.h>

enum {
    /* text */
    FILE_BYTES_MAX = 16 * 1024 * 1024, /* of one file: E0111 */
    MODULE_FILES_MAX = 1000,           /* files that one file uses, itself included: E0207 */
    PARSE_NESTING_MAX = 100,           /* brackets open at once: E0106 */
    AST_HEIGHT_MAX = 1000,             /* operators and statements inside each other: E0106; passes may recurse */
    PARSE_ERRORS_MAX = 50,             /* syntax errors of one file; the rest of it is skipped */
    /* messages */
    DIAGNOSTICS_MAX = 100,    /* kept and shown; more are counted */
    MESSAGE_BYTES_MAX = 2000, /* of one message, label or note; longer ones are cut */
    SOURCE_SHOWN_MAX = 240,   /* characters of a line of source in a message */
    /* the program written out */
    CALL_DEPTH_MAX = 64,              /* definitions inside definitions: E0413 */
    BODY_LINES_MAX = 20000,           /* lines of a model: E0701 */
    EXPANSION_MAX = 1 << 18,          /* operators, names and calls that one line or declaration comes to, functions and definitions written out: E0701 */
    STATEMENTS_MAX = 1000,            /* statements that one line or declaration comes to: E0701 */
    PROGRAM_EXPANSION_MAX = 1 << 23,  /* the same of a whole model, or of all declarations of a file: E0701 */
    ELEMENT_OPERATIONS_MAX = 1 << 15, /* operations of one element, with the element-wise definitions that it reads written out: E0701 */
    TENSOR_AXES_MAX = 12,             /* axes of a tensor: E0411 */
    AXIS_PARTS_MAX = 8,               /* parts of a compound axis */
    OPERATION_INDICES_MAX = 60,       /* indices of one operation: E0404 */
    /* spaces */
    SPACE_LENGTH_MAX = 128,   /* lines of a member: E0602 */
    SPACE_LETS_MAX = 16,      /* `let`s: E0602 */
    SPACE_WORK_MAX = 1 << 24, /* steps that counting the members of all spaces of a file takes: E0701 */
};

#define PARAMETER_ELEMENTS_MAX ((int64_t)1 << 40) /* of one parameter: E0414 */

#endif

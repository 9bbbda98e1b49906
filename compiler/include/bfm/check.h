/* What is wrong with a module, and what is known of its models: as structs and as JSON. */
#ifndef BFM_CHECK_H
#define BFM_CHECK_H

#include <bfm/api.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { BFM_SEVERITY_ERROR, BFM_SEVERITY_WARNING, BFM_SEVERITY_NOTE } BfmSeverity;

/* A range of a file; lines and columns count from 1, columns in characters. file NULL: no place. */
typedef struct BfmPlace {
    const char *file;
    int line, column, end_line, end_column;
} BfmPlace;

typedef struct BfmLabel {
    BfmPlace place;
    const char *text;
} BfmLabel;

/* Texts and arrays belong to the module and live until it is freed. */
typedef struct BfmDiagnostic {
    const char *code; /* "E0301"; `bfmc explain` says more */
    BfmSeverity severity;
    const char *message;
    BfmPlace place;
    int label_count;
    const BfmLabel *labels;
    int note_count;
    const char *const *notes;
    const char *fix; /* what to do; NULL */
} BfmDiagnostic;

/* Lowers a model, block or layer (NULL: every model of the file), so that everything that is wrong with it is among the diagnostics. True: there is no error. */
BFM_API bool bfm_check(BfmModule *module, const char *item);

/* Those met so far, by loading, editing, bfm_check and others. */
BFM_API int bfm_diagnostic_count(const BfmModule *module);
BFM_API bool bfm_diagnostic_at(BfmModule *module, int index, BfmDiagnostic *diagnostic);
BFM_API int bfm_error_count(const BfmModule *module);
/* As `bfmc check --json` has them under "diagnostics". To be freed with bfm_text_free. */
BFM_API char *bfm_diagnostics_json(const BfmModule *module);
/* As `bfmc check` prints them. To be freed with bfm_text_free. */
BFM_API char *bfm_diagnostics_text(const BfmModule *module);
/* The same of those from number `first` on, with colours of a terminal or without. */
BFM_API char *bfm_diagnostics_text_from(const BfmModule *module, int first, bool color);

/* ---- the catalogue ---- */

/* Texts belong to the library. */
typedef struct BfmDiagnosticKind {
    const char *code; /* "E0301" */
    BfmSeverity severity;
    const char *title, *explanation;
    const char *bad, *good; /* examples that give it and do not; "": none. Bytes that are no UTF-8 may be among them */
} BfmDiagnosticKind;
BFM_API int bfm_diagnostic_kind_count(void);
/* False: there is no such number. */
BFM_API bool bfm_diagnostic_kind(int index, BfmDiagnosticKind *kind);
/* By its code, in capitals or not. False: there is no such code. */
BFM_API bool bfm_diagnostic_find(const char *code, BfmDiagnosticKind *kind);

typedef struct BfmCheckOptions {
    int64_t batch, length; /* of the work counted; 0: 8, and the model's context, else 1024 */
    int64_t width;         /* of the stream of a block or layer; 0: what it says itself */
    bool schedule;         /* what a training step stores, and why */
    bool cost;             /* memory and time of a training step of a model, by rates that are measured for 0.3 s */
    bool gradients;        /* compare the derivative with differences of the value */
} BfmCheckOptions;

/* The report of a model, block, layer or space (NULL: of every model and space of the file), as `bfmc check` gives it: parameters by line, work, what is read, verdicts; members
   of spaces. options NULL: all zeros. JSON: "models" and "spaces". The report is there in any case, to be freed with bfm_report_free. False: INPUT (also a derivative that
   differs) or ENVIRONMENT; error->message is empty where the diagnostics say why. */
BFM_API bool bfm_check_report(BfmModule *module, const char *item, const BfmCheckOptions *options, BfmReport *report, BfmError *error);

#ifdef __cplusplus
}
#endif

#endif

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

/* The report of a model, block or layer at a batch and a length, as `bfmc check --json` has it under "models": parameters by line, work, what is read, verdicts. NULL: INPUT,
   or the diagnostics say why (error->message is empty). To be freed with bfm_text_free. */
BFM_API char *bfm_check_json(BfmModule *module, const char *item, int64_t batch, int64_t length, BfmError *error);

#ifdef __cplusplus
}
#endif

#endif

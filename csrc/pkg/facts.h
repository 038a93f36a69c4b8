/* pkg/facts.h: what the files of a shipped kernel say about the machine that they need: read from
 * the libraries (.dynamic, .gnu.version_r, .nv_fatbin) and from metadata.json, never guessed from
 * names. */
#ifndef KERNMILL_PKG_FACTS_H
#define KERNMILL_PKG_FACTS_H

#include <stdbool.h>

#include "core/arena.h"
#include "core/err.h"
#include "formats/fatbin.h"
#include "formats/fields.h"

typedef struct {
    const char *name;         /* of the file in its folder or wheel */
    const char *broken;       /* why it cannot be read; NULL: it can, and the rest holds */
    const char *machine;      /* "x86_64" */
    km_version glibc;         /* the newest it needs; count 0: none */
    const char *glibc_symbol; /* that needs it */
    unsigned torch_minor;     /* torch 2.<minor> is the first to have all of the stable functions
                                 that it cannot do without; 0: any */
    const char *torch_symbol; /* the one that needs it */
    unsigned cudart;          /* 12 of libcudart.so.12; 0: does not need it */
    unsigned x86_level;       /* that it declares to need; 0: none */
    bool picks_isa;           /* it asks the processor for more than that (kernmill/isa.h) */
    bool uses_python;         /* it calls Python's C functions: for one Python, or abi3 */
    km_fatbin *kernels;       /* a container a compiled file; images in the arena */
    size_t kernel_count;
    const char *images_broken; /* why its images cannot be read, or NULL */
} km_library_facts;

typedef struct {
    km_library_facts *items;
    size_t count;
} km_libraries;

typedef struct {
    const char *refused; /* why the client (0.17) does not take metadata.json; NULL: it does */
    const char *name;    /* "kernmill-rmsnorm", or NULL */
    const char *type;    /* of the backend: "cuda" */
    km_version minver;   /* of the client; count 0: any */
    const char **depends;
    size_t depend_count; /* Python packages */
    const char **kernels;
    size_t kernel_count; /* other kernels, by repository */
    const char **archs;
    size_t arch_count; /* declared: "9.0a", "7.5+PTX", "gfx942" */
    bool has_module;   /* __init__.py is where the client looks */
} km_metadata_facts;

/* What is broken is told in *out. Errors: KM_ENOMEM, KM_ELIMIT. */
int km_library_facts_read(km_arena *a, const void *data, size_t size, const char *name,
                          km_library_facts *out, km_err *err);

/* The libraries below a folder, links followed; what cannot be listed is no error. */
int km_libraries_read(km_arena *a, const char *dir, km_libraries *out, km_err *err);

/* Of the text alone; whether there is a module is not looked at, and taken for granted. */
int km_metadata_facts_parse(km_arena *a, const char *text, size_t size, km_metadata_facts *out,
                            km_err *err);

/* Of a Hub folder. */
int km_metadata_facts_read(km_arena *a, const char *dir, km_metadata_facts *out, km_err *err);

#endif

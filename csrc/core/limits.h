/* core/limits.h: every bound the program sets on its input and on itself, in one place.
 *
 * A bound exists so that hostile or broken input costs an error message and nothing else. Values
 * are generous for honest use; whoever needs more raises them here.
 */
#ifndef KERNMILL_CORE_LIMITS_H
#define KERNMILL_CORE_LIMITS_H

/* core */
#define KM_ERR_MESSAGE_BYTES     2048
#define KM_ERR_HINT_BYTES        512
#define KM_ERR_PLACE_BYTES       512
#define KM_STR_BYTES_MAX         (256u << 20)
#define KM_ARENA_BYTES_MAX       (1u << 30)
#define KM_ARENA_BLOCK_BYTES     (64u << 10)
#define KM_PATH_BYTES_MAX        4096
#define KM_DIR_ENTRIES_MAX       100000
#define KM_DIR_DEPTH_MAX         64
#define KM_FILE_BYTES_MAX        (2048u << 20) /* a library, a wheel */
#define KM_TEXT_BYTES_MAX        (16u << 20)   /* a source, a manifest, a log */
#define KM_PROC_ARGS_MAX         4096
#define KM_PROC_OUTPUT_BYTES_MAX (64u << 20)

/* formats */
#define KM_TOML_BYTES_MAX        (4u << 20)
#define KM_TOML_DEPTH_MAX        64
#define KM_TOML_KEY_PARTS_MAX    64
#define KM_TOML_VALUES_MAX       1000000
#define KM_JSON_BYTES_MAX        (64u << 20)
#define KM_FATBIN_IMAGES_MAX     65536
#define KM_CUBIN_ENTRIES_MAX     16384 /* of a library */
#define KM_ELF_SYMBOLS_MAX       1000000
#define KM_ELF_SECTIONS_MAX      65536
#define KM_ZIP_ENTRIES_MAX       65534 /* more needs zip64, which is refused */
#define KM_ZIP_RATIO_MAX         200u /* a member's growth beyond the floor; deflate ends at 1032 */
#define KM_ZIP_RATIO_FLOOR_BYTES (1u << 20)

/* net */
#define KM_URL_BYTES_MAX          16384
#define KM_HTTP_ANSWER_BYTES_MAX  (64u << 20) /* an answer kept in memory, after decoding */
#define KM_HTTP_ERROR_BYTES_MAX   (64u << 10) /* the text of an answer that says no */
#define KM_HTTP_HEADERS_MAX       128
#define KM_HTTP_HEADER_BYTES_MAX  16384 /* a line */
#define KM_HTTP_REDIRECTS_MAX     5
#define KM_HTTP_RECEIVE_BYTES     (256u << 10) /* of a download, at once */
#define KM_HTTP_PARALLEL          8            /* transfers at once */
#define KM_HTTP_CONNECT_MS        10000        /* name, connection, TLS */
#define KM_HTTP_STALL_S           30 /* below KM_HTTP_STALL_BYTES_S for so long: given up */
#define KM_HTTP_STALL_BYTES_S     1024
#define KM_HTTP_ANSWER_S          300 /* the whole of an answer kept in memory */
#define KM_HTTP_TRIES_MAX         6   /* without a byte of progress */
#define KM_HTTP_TRIES_TOTAL_MAX   100 /* of a transfer that crawls on from cut to cut */
#define KM_HTTP_BACKOFF_MS        500 /* before the second try; doubles */
#define KM_HTTP_BACKOFF_MS_MAX    8000
#define KM_HTTP_WAIT_MS_MAX       60000  /* the pauses of one transfer together */
#define KM_HUB_PAGES_MAX          1000   /* of one listing */
#define KM_HUB_KERNELS_MAX        10000  /* of a page */
#define KM_SEARCH_KERNELS_MAX     10000  /* of one search */
#define KM_SEARCH_PAGE            24     /* kernels that are asked about together */
#define KM_HUB_FILES_MAX          100000 /* of a tree */
#define KM_HUB_REFS_MAX           10000
#define KM_HUB_REPO_ID_BYTES_MAX  96
#define KM_HUB_PATH_BYTES_MAX     1024
#define KM_HUB_REVISION_BYTES_MAX 255
#define KM_HUB_FILE_BYTES_MAX     (16ull << 30) /* a file of a kernel repository */
#define KM_HUB_FILES_A_REQUEST    256           /* of an upload: what the hub takes at once */
#define KM_HUB_PARTS_MAX          10000         /* of one large file's upload */
#define KM_HUB_SAMPLE_BYTES       512 /* of a file, by which the hub decides how it is kept */
#define KM_HUB_INLINE_BYTES_MAX   (100ull << 20) /* of all files in a commit's own body */
#define KM_HUB_COMMIT_STALL_S     600            /* a hub thinks before it answers */
#define KM_TOKEN_BYTES_MAX        4096
#define KM_CACHE_STALE_S          86400
#define KM_LOCK_KERNELS_MAX       1024   /* of a project */
#define KM_LOCK_DEPTH_MAX         64     /* kernels that need kernels */
#define KM_CACHE_LOCK_MS          600000 /* another process downloads the same file */

/* pkg */
#define KM_KERNEL_SECTIONS_MAX 64
#define KM_SOURCES_MAX         1024
#define KM_ARCHS_MAX           32
#define KM_INCLUDES_MAX        4096
#define KM_FINDINGS_MAX        1000
#define KM_GPUS_MAX            64
#define KM_CANDIDATES_MAX      4096 /* variants or wheels that are judged together */
#define KM_REASONS_MAX         64   /* of each */
#define KM_LIBRARIES_MAX       256  /* of a variant */
#define KM_TEST_RUNS_MAX       1024 /* that records hold together */
#define KM_PACKAGE_DEPTH_MAX   8    /* folders in folders of one */

/* bench */
#define KM_EXPR_DEPTH_MAX   64
#define KM_EXPR_NAMES_MAX   64
#define KM_CELLS_MAX        10000 /* of a suite */
#define KM_BENCH_SETS_MAX   1024
#define KM_BENCH_ROUNDS_MAX 1000
#define KM_CALLS_MAX        32 /* implementations of an operator */

/* profile */
#define KM_PROFILE_EVENTS_MAX 400000 /* of a script; a model of 28 layers has some 5000 a pass */
#define KM_PROFILE_ROWS_MAX   1000   /* kinds of operators or chains that are listed */

/* skill */
#define KM_SKILLS_MAX      64   /* that are searched for a name near enough */
#define KM_SKILL_FILES_MAX 1024 /* of a skill */

/* lab */
#define KM_LAB_TEXT_BYTES_MAX      (64u << 10) /* a text of a proposal, a review or an error */
#define KM_LAB_BODY_BYTES_MAX      (4u << 20)  /* a job's payload, a result */
#define KM_LAB_NAME_BYTES_MAX      128         /* a key, a worker, a campaign */
#define KM_LAB_BUSY_MS             30000       /* another process has the store */
#define KM_LAB_LEASE_S             120         /* without a heartbeat */
#define KM_LAB_LEASE_S_MAX         86400
#define KM_LAB_LIMIT_S_MAX         2000000 /* 23 days, in milliseconds yet an int */
#define KM_LAB_ATTEMPTS            3       /* of a job whose worker is lost */
#define KM_LAB_BUDGET_WARN_PERCENT 80      /* of a budget is used: somebody is told */
#define KM_LAB_PAIRS_MAX           256     /* of runs, that one decision is made of */
#define KM_LEDGER_COLUMNS_MAX      64
#define KM_TRACKIO_BYTES           (4u << 20) /* after which a new fragment begins */
#define KM_TRACKIO_BOARD_ROWS      100        /* the newest jobs */
#define KM_PAPERS_MAX              100        /* of one look-up */
#define KM_LAB_PAGE_ROWS           2000 /* ideas, jobs, leases that the HTML report shows of each */

#endif

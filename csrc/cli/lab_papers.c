/* cli/lab_papers.c: kernmill lab papers: ideas from papers, with their source. */
#include "cli/net.h"

static const km_opt options[] = {
    KM_OPT_INT("limit", 'n', "N", km_papers_fields, limit, "at most so many papers (default: 10)"),
    KM_OPT_FLAG("propose", 'p', km_papers_fields, propose, "hand them in at once"),
    KM_OPT_TEXT("dir", 'C', "DIR", km_papers_fields, dir,
                "with --propose, the lab's folder (default: around this one)"),
    KM_OPT_END,
};

extern const km_command km_cmd_lab_papers;
const km_command km_cmd_lab_papers = {
    .name = "lab papers",
    .help = "researcher: turn papers into ideas, by a search or by arXiv's ids",
    .args = "QUERY... | ARXIV_ID...",
    .more = "Asks the Hub's index of papers. Out: a JSON line a paper, fit for `kernmill lab "
            "propose`:\n"
            "the key is paper:<id>, the source arXiv:<id>, the text its abstract. With --propose "
            "each is\n"
            "handed in, and its line has the \"hypothesis\", and \"made\": whether it is new. An "
            "abstract\n"
            "is a stranger's claim: what to change here, and why it should help, is for a "
            "researcher to\n"
            "write, and for a reviewer to read. Exit 1: nothing was found.",
    .options = options,
    .fields_size = sizeof(km_papers_fields),
    .run = KM_NET_RUN(km_run_papers),
};

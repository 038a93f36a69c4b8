/* cli/cmd_lab.c: kernmill lab: experiments by people and agents. Its rows, in the order of an
 * experiment. */
#include "cli/command.h"

extern const km_command km_cmd_lab_init, km_cmd_lab_import, km_cmd_lab_papers, km_cmd_lab_suggest,
    km_cmd_lab_propose, km_cmd_lab_review, km_cmd_lab_plan, km_cmd_lab_claim, km_cmd_lab_beat,
    km_cmd_lab_edit, km_cmd_lab_evaluate, km_cmd_lab_submit, km_cmd_lab_fail, km_cmd_lab_cancel,
    km_cmd_lab_sweep, km_cmd_lab_judge, km_cmd_lab_decide, km_cmd_lab_promote, km_cmd_lab_champion,
    km_cmd_lab_run, km_cmd_lab_status, km_cmd_lab_watch, km_cmd_lab_alert, km_cmd_lab_notify,
    km_cmd_lab_report, km_cmd_lab_export, km_cmd_lab_backup;

static const km_command *const rows[] = {
    &km_cmd_lab_init,    &km_cmd_lab_import,  &km_cmd_lab_papers,   &km_cmd_lab_suggest,
    &km_cmd_lab_propose, &km_cmd_lab_review,  &km_cmd_lab_plan,     &km_cmd_lab_claim,
    &km_cmd_lab_beat,    &km_cmd_lab_edit,    &km_cmd_lab_evaluate, &km_cmd_lab_submit,
    &km_cmd_lab_fail,    &km_cmd_lab_cancel,  &km_cmd_lab_sweep,    &km_cmd_lab_judge,
    &km_cmd_lab_decide,  &km_cmd_lab_promote, &km_cmd_lab_champion, &km_cmd_lab_run,
    &km_cmd_lab_status,  &km_cmd_lab_watch,   &km_cmd_lab_alert,    &km_cmd_lab_notify,
    &km_cmd_lab_report,  &km_cmd_lab_export,  &km_cmd_lab_backup,   NULL,
};

extern const km_command km_cmd_lab;
const km_command km_cmd_lab = {
    .name = "lab",
    .help = "keep the ideas, the work and the results of experiments, for agents and people",
    .args = "COMMAND",
    .more =
        "A lab is a folder with lab.toml. Researchers propose, reviewers review, planners plan,\n"
        "workers claim, beat and submit, reporters report; each says what it has to say in JSON,\n"
        "and any agent, script or person may be one.",
    .subs = rows,
};

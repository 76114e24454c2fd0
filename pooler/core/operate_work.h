/*
 * operate_work.h - the parts of core/operate that run on each loop: works of core/gather.
 */
#ifndef PERFKIT_CORE_OPERATE_WORK_H
#define PERFKIT_CORE_OPERATE_WORK_H

struct gather_part;

void operate_trim_work(struct gather_part *part);

/* gather->arg: the order (KILL, KILL_CLIENT). count[0] of the latter: how many were found. */
void operate_kill_work(struct gather_part *part);
void operate_kill_client_work(struct gather_part *part);

/* SUSPEND: hold everybody; how many still have something to be sent (count[0]); end those; RESUME.
 */
void operate_suspend_work(struct gather_part *part);
void operate_count_blocked_work(struct gather_part *part);
void operate_end_blocked_work(struct gather_part *part);
void operate_wake_work(struct gather_part *part);

#endif

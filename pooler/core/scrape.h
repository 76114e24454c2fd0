/*
 * scrape.h - what is told over HTTP on prometheus_listen.
 *
 *     /metrics            our numbers (core/metrics)      /health   JSON, 200 or 503 (core/health)
 *     /metrics/database   the extension's (core/home)     /ready    the same in a word
 *
 * Whoever reaches the port may ask: there is nothing secret in the answers, but names of databases
 * and users. Main thread.
 */
#ifndef PERFKIT_CORE_SCRAPE_H
#define PERFKIT_CORE_SCRAPE_H

struct registry;

/* Opens the port where the configuration names one. A port that cannot be had is logged and tried
 * again: serving clients is worth more. */
void scrape_start(struct registry *r);

/* A new configuration is in force. */
void scrape_reload(void);

/* The loops are about to stop: nothing can be gathered any more. May be called again. */
void scrape_stop(void);

#endif

/* Writes the caller's stack to standard output, twice: as backtrace() walks it, and as bytes to walk it by other means.
   See capture.c for the form. */
#ifndef CAPTURE_H
#define CAPTURE_H
#ifdef __cplusplus
extern "C" {
#endif

/* To be called once, before the first capture. */
void capture_begin(void);

/* Its own first instruction is the place that is captured, as a probe at the entry of malloc would see it. */
void capture(void);

/* Where the interrupted stack is while a handler runs on one of its own, else 0: it is written too. */
extern __thread unsigned long interrupted;

#ifdef __cplusplus
}
#endif
#endif

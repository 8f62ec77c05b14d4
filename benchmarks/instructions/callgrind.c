/* What Python cannot say by itself: from where to where callgrind counts. */
#include <valgrind/callgrind.h>

void start_counting(void) { CALLGRIND_START_INSTRUMENTATION; }

/* The count since the last dump goes into a file of its own. */
void dump_count(void) { CALLGRIND_DUMP_STATS; }

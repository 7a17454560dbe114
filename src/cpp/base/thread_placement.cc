#include "base/thread_placement.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace lpn {

#if defined(__linux__)

int current_cpu() { return sched_getcpu(); }

#else

int current_cpu() { return -1; }

#endif

}  // namespace lpn

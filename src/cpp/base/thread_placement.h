// Where a thread runs, for threads of one loop that the scheduler has put on the same CPU.
#pragma once

namespace lpn {

// The CPU the calling thread is on; -1 where that cannot be known.
int current_cpu();

// Moves the calling thread to another CPU of its affinity mask, if there is one. Nothing is pinned:
// the mask is the same again before this returns.
void leave_cpu(int cpu);

}  // namespace lpn

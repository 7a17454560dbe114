// Where a thread runs.
#pragma once

namespace lpn {

// The CPU the calling thread is on; -1 where that cannot be known.
int current_cpu();

}  // namespace lpn

// The mode in which products of bfloat16 pairs are computed.
#pragma once

#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace lpn {
namespace {

// Between enter() and leave() this thread's vector instructions read subnormal numbers as zero and
// write zero for them, as the instruction for pairs of bfloat16 does in any mode; elsewhere than on
// x86 nothing changes. What is computed between them stays there, since no load or store is moved
// across either. (With a destructor, ISA files would need the weak symbol of exceptions.)
class FlushSubnormals {
 public:
  void enter() {
#if defined(__SSE__)
    constexpr unsigned kFlushResults = 0x8000;
    constexpr unsigned kFlushOperands = 0x0040;
    callers_ = _mm_getcsr();
    _mm_setcsr(callers_ | kFlushResults | kFlushOperands);
    asm volatile("" ::: "memory");
#endif
  }
  // Restores the caller's mode.
  void leave() const {
#if defined(__SSE__)
    asm volatile("" ::: "memory");
    _mm_setcsr(callers_);
#endif
  }

#if defined(__SSE__)
 private:
  unsigned callers_ = 0;
#endif
};

// In its place where the caller's mode is the right one.
struct CallersMode {
  void enter() {}
  void leave() const {}
};

}  // namespace
}  // namespace lpn

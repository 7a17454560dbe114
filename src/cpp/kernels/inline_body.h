// What the optimiser is to take apart, and what it is not.
#pragma once

// Marks a lambda or a function that an inner loop consists of.
//
// Its address arithmetic does not depend on the loop's variable and must leave the loop, since at a
// dozen fma per call it would cost more than they do.
#if defined(__GNUC__)
#define LPN_INLINE_BODY __attribute__((always_inline))
#else
#define LPN_INLINE_BODY
#endif

// Marks a function with more addresses than there are registers: inlined, its caller's loop would
// compute and spill all of them, where as members of its object each is one load.
#if defined(__GNUC__)
#define LPN_NOT_INLINE __attribute__((noinline))
#else
#define LPN_NOT_INLINE
#endif

namespace lpn {
namespace {

// `p`. What is loaded from it is loaded anew, not kept in a register from an earlier load, since
// the optimiser does not know that they are the same.
template <class T>
inline const T* reload_from(const T* p) {
#if defined(__GNUC__)
  asm("" : "+r"(p));
#endif
  return p;
}

}  // namespace
}  // namespace lpn

// Marks a lambda or a function that an inner loop consists of.
#pragma once

// Its address arithmetic does not depend on the loop's variable and must leave the loop, since at a
// dozen fma per call it would cost more than they do.
#if defined(__GNUC__)
#define LPN_INLINE_BODY __attribute__((always_inline))
#else
#define LPN_INLINE_BODY
#endif

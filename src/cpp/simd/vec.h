// What every vec_*.h specialises: the operations whose vector type no argument tells. A vector type
// V has V::Lane, V::kLanes and, where it is compared, V::Mask.
#pragma once

#include "base/bfloat16.h"

namespace lpn {
namespace {

template <class V>
V zero();
template <class V>
V set1(typename V::Lane x);
template <class V>
V iota();
template <class V>
V load(const typename V::Lane* p);
template <class V>
V load_n(const typename V::Lane* p, int n);
template <class V>
typename V::Mask mask_none();

// Of floats only: from bfloat16 numbers, widened exactly.
template <class V>
V load(const Bfloat16* p);
template <class V>
V load_n(const Bfloat16* p, int n);

}  // namespace
}  // namespace lpn

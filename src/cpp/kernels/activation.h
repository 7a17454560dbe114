// What a convolution applies to its result, in the epilogue, while the result is in registers.
#pragma once

namespace lpn {

enum class Activation { kNone, kRelu, kRelu6 };

}  // namespace lpn

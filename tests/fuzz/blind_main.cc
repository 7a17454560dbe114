// Drives a fuzz target where the compiler has no libFuzzer: blindly, with random bytes.
//   lpn_fuzz_graph [EXECUTIONS] [SEED]
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  const long executions = argc > 1 ? std::atol(argv[1]) : 10000;
  std::mt19937 random(argc > 2 ? static_cast<unsigned>(std::atol(argv[2])) : 0);
  std::vector<std::uint8_t> input;
  for (long i = 0; i < executions; ++i) {
    input.resize(random() % 256);
    for (std::uint8_t& byte : input) byte = static_cast<std::uint8_t>(random());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%ld executions\n", executions);
}

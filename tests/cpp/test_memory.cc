// The memory limit: where it comes from, and what a plan beyond it says.
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "base/cpu_quota.h"
#include "base/memory_limit.h"
#include "engine/run/compiled_model.h"
#include "graph_builder.h"
#include "model_runs.h"
#include "scoped_environment.h"
#include "test.h"

namespace lpn {
namespace {

using test::ConvOptions;
using test::GraphBuilder;
using test::random_images;
using test::run_model;
using test::same_bits;
using test::ScopedEnvironment;

// A directory with the files of /proc and /sys that tell limits, for as long as it lives.
class FakeRoot {
 public:
  explicit FakeRoot(const std::string& name)
      : path_(std::filesystem::temp_directory_path() /
              ("lpn_" + name + "_" + std::to_string(reinterpret_cast<std::uintptr_t>(this)))) {
    std::filesystem::remove_all(path_);
  }
  ~FakeRoot() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  FakeRoot(const FakeRoot&) = delete;
  FakeRoot& operator=(const FakeRoot&) = delete;

  void write(const std::string& file, const std::string& text) const {
    const std::filesystem::path path = path_ / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << '\n';
  }
  std::string path() const { return path_.string(); }

 private:
  const std::filesystem::path path_;
};

// What `call` throws as std::invalid_argument.
template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

bool holds(const std::string& text, const std::vector<std::string>& words) {
  for (const std::string& word : words)
    if (text.find(word) == std::string::npos) return false;
  return true;
}

ConvOptions padded(std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  ConvOptions options;
  options.kernel = kernel;
  options.stride = stride;
  options.padding = padding;
  return options;
}

}  // namespace

LPN_TEST(cgroup_limits_of_the_unified_hierarchy) {
  const FakeRoot root("v2");
  EXPECT(cgroup_memory(root.path()) == 0 && cgroup_cpus(root.path()) == 0);
  root.write("proc/self/cgroup", "0::/pod/box");
  root.write("sys/fs/cgroup/pod/box/memory.max", "max");
  EXPECT(cgroup_memory(root.path()) == 0);
  root.write("sys/fs/cgroup/pod/memory.max", "3000000");
  root.write("sys/fs/cgroup/memory.max", "4000000");
  EXPECT(cgroup_memory(root.path()) == 3000000, "the ancestor's, ", cgroup_memory(root.path()));
  root.write("sys/fs/cgroup/pod/box/memory.max", "2000000");
  EXPECT(cgroup_memory(root.path()) == 2000000, cgroup_memory(root.path()));
  root.write("sys/fs/cgroup/pod/cpu.max", "250000 100000");
  EXPECT(cgroup_cpus(root.path()) == 3, cgroup_cpus(root.path()));
}

LPN_TEST(cgroup_limits_of_the_first_hierarchy) {
  const FakeRoot root("v1");
  root.write("proc/self/cgroup", "5:memory:/box\n4:cpu,cpuacct:/box\n3:cpuset:/\n0::/box");
  root.write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "5000000");
  root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
  EXPECT(cgroup_memory(root.path()) == 5000000, cgroup_memory(root.path()));
  root.write("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "150000");
  root.write("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000");
  EXPECT(cgroup_cpus(root.path()) == 2, cgroup_cpus(root.path()));
}

LPN_TEST(hardware_threads_of_one_core_count_once) {
  const FakeRoot root("smt");
  EXPECT(count_cores({0, 1, 2}, root.path()) == 3, "without a /sys");
  const auto siblings = [&root](int cpu, const std::string& list) {
    root.write(
        "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list",
        list);
  };
  for (const int cpu : {0, 2}) siblings(cpu, "0,2");
  for (const int cpu : {1, 3}) siblings(cpu, "1,3");
  root.write("sys/devices/system/cpu/smt/active", "1");
  EXPECT(count_cores({0, 1, 2, 3}, root.path()) == 2);
  EXPECT(count_cores({0, 2}, root.path()) == 1);
  EXPECT(count_cores({1, 2}, root.path()) == 2, "a thread each of two cores");
  EXPECT(count_cores({0, 1, 2, 3, 4}, root.path()) == 3, "CPU 4 is not described");
  root.write("sys/devices/system/cpu/smt/active", "0");
  EXPECT(count_cores({0, 1}, root.path()) == 2);
}

LPN_TEST(default_memory_limit_follows_the_environment) {
  struct Value {
    const char* text;
    std::int64_t bytes;
  };
  for (const Value value : {Value{"1", 1},
                            {"123456789", 123456789},
                            {"2K", 2048},
                            {"3M", 3 << 20},
                            {"5G", std::int64_t{5} << 30},
                            {"1T", std::int64_t{1} << 40}}) {
    const ScopedEnvironment set("LPN_MEMORY_LIMIT", value.text);
    EXPECT(default_memory_limit() == value.bytes, value.text, ": ", default_memory_limit());
  }
  for (const char* text : {"0", "0G", "-1", "G", "2.5G", "2GB", "2g", " 2", "much",
                           "9223372036854775808", "99999999T", "184467440737095516160"}) {
    const ScopedEnvironment set("LPN_MEMORY_LIMIT", text);
    const std::string message = refusal([] { default_memory_limit(); });
    EXPECT(holds(message, {"LPN_MEMORY_LIMIT", text}), text, ": ", message);
  }
  const ScopedEnvironment unset("LPN_MEMORY_LIMIT", "");
  EXPECT(default_memory_limit() > 1 << 20);
}

LPN_TEST(sizes_are_told_in_units) {
  EXPECT(format_bytes(0) == "0 B" && format_bytes(1023) == "1023 B");
  EXPECT(format_bytes(1536) == "1.5 KiB", format_bytes(1536));
  EXPECT(format_bytes(12.9 * (1 << 30)) == "12.9 GiB");
  EXPECT(format_bytes(1e30).find("EiB") != std::string::npos);
}

LPN_TEST(plan_beyond_the_memory_limit_names_its_node) {
  constexpr std::int64_t kMemory = std::int64_t{1} << 30;
  GraphBuilder large(3);
  const std::string wide = large.conv("image", 3, 2, padded(1, 1, 1 << 15));
  CompiledModel large_output(large.finish(large.max_pool(wide, 3, 2, 1)), 2, Isa::kScalar, kMemory);
  const std::string output = refusal([&] { large_output.prepare(64, 48); });
  EXPECT(holds(output, {wide, "(65600, 65584, 2)", "height 64 and width 48", "32.1 GiB", "1.0 GiB",
                        "memory_limit"}),
         output);

  // Few outputs of a padded map of which hardly a row is copied: 37 MiB.
  GraphBuilder sparse(3);
  const std::string few = sparse.conv("image", 3, 2, padded(1, 1 << 15, 1 << 14));
  const Graph graph = sparse.finish(few);
  CompiledModel enough(graph, 1, Isa::kScalar, kMemory);
  EXPECT(enough.prepare(64, 48)->plan().scratch_bytes() == 64 * (48 + (1 << 15)) * 3 * 4);
  const Shape shape{64, 48, 3};
  EXPECT(run_model(enough, random_images(1, shape), 1, shape).size() == 2 * 2 * 2);
  CompiledModel scarce(graph, 2, Isa::kScalar, kMemory / 32);
  const std::string scratch = refusal([&] { scarce.prepare(64, 48); });
  EXPECT(holds(scratch, {few, "2 threads", "32.0 MiB"}), scratch);

  GraphBuilder heavy(64);
  const std::string layer = heavy.conv("image", 64, 1, padded(64, 64, 0));
  CompiledModel weights(heavy.finish(layer), 1, Isa::kScalar, 1 << 20);
  const std::string packed = refusal([&] { weights.prepare(64, 64); });
  EXPECT(holds(packed, {layer, "8.0 MiB", "1.0 MiB"}), packed);
}

LPN_TEST(batch_beyond_the_memory_limit_runs_image_by_image) {
  const Shape shape{32, 24, 8};
  GraphBuilder b(shape.c);
  const Graph graph = b.finish(b.bottleneck("image", 8, 24, 2, "gc"));
  const std::vector<float> images = random_images(5, shape);
  CompiledModel ample(graph, 4, default_isa());
  const Plan& plan = ample.prepare(shape.h, shape.w)->plan();
  const double one = plan.workspace_bytes(4) + static_cast<double>(plan.output_bytes(0));
  CompiledModel tight(graph, 4, default_isa(), static_cast<std::int64_t>(one));
  EXPECT(plan.workspace_bytes(1) * 4 > one);
  EXPECT(same_bits(run_model(tight, images, 5, shape), run_model(ample, images, 5, shape)));
  CompiledModel none(graph, 4, default_isa(), static_cast<std::int64_t>(one) - 1);
  EXPECT(refusal([&] { none.prepare(shape.h, shape.w); }) != "");
}

}  // namespace lpn

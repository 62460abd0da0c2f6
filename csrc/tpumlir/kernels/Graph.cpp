#include "tpumlir/kernels/Graph.h"

#include "tpumlir/kernels/Elementwise.h"
#include "tpumlir/kernels/FloatFlags.h"
#include "tpumlir/kernels/Layout.h"
#include "tpumlir/kernels/Parallel.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstring>
#include <map>

namespace tpumlir::kernels {

int Graph::addInput(TensorDesc desc) {
  tensors.push_back({std::move(desc), nullptr, inputs++, false});
  return int(tensors.size()) - 1;
}

int Graph::addConstant(TensorDesc desc, const void *data) {
  tensors.push_back({std::move(desc), data, -1, false, true});
  return int(tensors.size()) - 1;
}

int Graph::addConstant(TensorDesc desc, std::shared_ptr<void> data) {
  tensors.push_back({std::move(desc), data.get(), -1, false, false});
  owned.push_back(std::move(data));
  return int(tensors.size()) - 1;
}

int Graph::add(std::unique_ptr<Node> node, std::string op, std::string name,
               std::vector<int> inputs, std::vector<TensorDesc> results) {
  node->op = std::move(op);
  node->name = std::move(name);
  node->inputs = std::move(inputs);
  int first = int(tensors.size());
  for (TensorDesc &desc : results) {
    node->outputs.push_back(int(tensors.size()));
    tensors.push_back({std::move(desc), nullptr, -1, false});
  }
  nodes.push_back(std::move(node));
  return first;
}

void Graph::request(int tensor) {
  tensors[size_t(tensor)].requested = true;
  requests.push_back(tensor);
}

/// Turns a graph into an executable, step by step.
class Compiler {
public:
  Compiler(Graph graph, PackCache &packs)
      : graph(std::move(graph)), packs(packs),
        result(std::make_unique<Executable>()) {}
  std::unique_ptr<Executable> compile();

private:
  // Memory that one or more tensors (views, results written in place) share.
  struct Buffer {
    size_t bytes = 0;
    size_t first = 0, last = 0; // steps
    size_t offset = 0;
    int input = -1;  // external
    int output = -1; // external
    bool isExternal() const { return input >= 0 || output >= 0; }
  };
  // A kernel's operand before addresses are known.
  struct Use {
    size_t step;
    size_t operand;
    int tensor;
    int output = -1; // external
  };

  void removeDead();
  void fuse();
  bool fuseInto(size_t at);
  void countUses();
  void count(const Node &node, int sign);
  void place(Node &node);
  int inOrder(int tensor, const Dims &order, const Node &user);
  void emit(const Node &node, const std::vector<TensorDesc> &ins,
            const std::vector<TensorDesc> &outs,
            const std::vector<int> &inputs);
  std::unique_ptr<Kernel> build(const Node &node,
                                const std::vector<TensorDesc> &ins,
                                const std::vector<TensorDesc> &outs,
                                const std::vector<int> &inputs);
  void fold(const Node &node, Kernel &kernel, const std::vector<int> &inputs);
  int root(int tensor) const;
  size_t offsetOf(int tensor) const;
  bool isPart(int tensor) const;
  bool mayHold(int tensor, size_t bytes) const;
  void handOut(int tensor);
  void assignBuffers();
  void bindAll();

  TensorDesc &desc(int tensor) { return graph.tensors[size_t(tensor)].desc; }
  const void *constant(int tensor) const { return graph.constant(tensor); }

  Graph graph;
  PackCache &packs;
  std::unique_ptr<Executable> result;
  std::vector<int> useCounts;
  std::vector<int> producers; // node index per tensor, -1 for none
  std::map<std::pair<int, Dims>, int> reordered;
  // View -> tensor in whose memory it lies, and at which byte.
  std::map<int, std::pair<int, size_t>> aliasOf;
  std::map<int, int> outputOf; // tensor -> output that is its memory
  std::vector<Use> uses;
  std::vector<std::pair<size_t, std::vector<int>>> overwritable; // per step
  std::vector<Buffer> buffers;
  std::vector<int> bufferOf;
};

void Compiler::removeDead() {
  std::vector<bool> live(graph.tensors.size());
  for (int tensor : graph.requests)
    live[size_t(tensor)] = true;
  std::vector<std::unique_ptr<Node>> kept;
  for (size_t i = graph.nodes.size(); i-- > 0;) {
    std::unique_ptr<Node> &node = graph.nodes[i];
    bool needed = std::any_of(node->outputs.begin(), node->outputs.end(),
                              [&](int t) { return live[size_t(t)]; });
    if (!needed)
      continue;
    for (int input : node->inputs)
      live[size_t(input)] = true;
    kept.push_back(std::move(node));
  }
  std::reverse(kept.begin(), kept.end());
  graph.nodes = std::move(kept);
}

void Compiler::count(const Node &node, int sign) {
  for (int input : node.inputs)
    useCounts[size_t(input)] += sign;
}

void Compiler::countUses() {
  useCounts.assign(graph.tensors.size(), 0);
  producers.assign(graph.tensors.size(), -1);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!graph.nodes[i])
      continue;
    count(*graph.nodes[i], 1);
    for (int output : graph.nodes[i]->outputs)
      producers[size_t(output)] = int(i);
  }
}

namespace {

/// Steps of one program beyond which pieces of its values leave the cache.
constexpr size_t kMaxSteps = 24;

/// Makes the program read each tensor once.
void mergeInputs(EltProgram &program, std::vector<int> &inputs, size_t first) {
  for (size_t i = first; i < inputs.size(); ++i)
    for (size_t j = i + 1; j < inputs.size(); ++j) {
      if (inputs[i] != inputs[j])
        continue;
      // Program input numbers: a tail's operands start at 1.
      int keep = int(i - first) + (first ? 1 : 0);
      int drop = int(j - first) + (first ? 1 : 0);
      for (EltStep &step : program.steps)
        for (int &operand : step.operands)
          operand = operand == drop  ? keep
                    : operand > drop ? operand - 1
                                     : operand;
      --program.inputs;
      inputs.erase(inputs.begin() + int64_t(j--));
    }
}

} // namespace

bool Compiler::fuseInto(size_t at) {
  auto *consumer = dynamic_cast<ElementwiseNode *>(graph.nodes[at].get());
  if (!consumer)
    return false;
  // The latest producer first: the other operands are then computed before.
  std::vector<std::pair<int, size_t>> candidates;
  for (size_t i = 0; i < consumer->inputs.size(); ++i) {
    int tensor = consumer->inputs[i];
    int producer = producers[size_t(tensor)];
    if (producer >= 0 && graph.nodes[size_t(producer)] &&
        useCounts[size_t(tensor)] == 1 &&
        !graph.tensors[size_t(tensor)].requested &&
        desc(tensor).dims == desc(consumer->outputs[0]).dims)
      candidates.push_back({producer, i});
  }
  std::sort(candidates.rbegin(), candidates.rend());
  for (auto [producerAt, i] : candidates) {
    Node *producer = graph.nodes[size_t(producerAt)].get();
    auto *tailed = dynamic_cast<TailNode *>(producer);
    if (tailed && desc(consumer->outputs[0]).dtype == DType::F32 &&
        std::all_of(
            consumer->inputs.begin(), consumer->inputs.end(),
            [&](int input) { return desc(input).dtype == DType::F32; })) {
      EltProgram program; // its input 0 is the producer's own result
      if (tailed->tail) {
        program = inlineProgram(*tailed->tail, consumer->program, int(i));
      } else {
        program = consumer->program;
        for (EltStep &step : program.steps)
          for (int &operand : step.operands)
            if (operand == int(i))
              operand = 0;
            else if (operand >= 0 && operand < int(i))
              ++operand;
      }
      if (program.steps.size() > kMaxSteps)
        continue;
      count(*consumer, -1);
      count(*tailed, -1);
      std::vector<int> others = consumer->inputs;
      others.erase(others.begin() + int64_t(i));
      tailed->inputs.insert(tailed->inputs.end(), others.begin(), others.end());
      mergeInputs(program, tailed->inputs, tailed->coreInputs);
      tailed->tail = std::move(program);
      tailed->outputs = consumer->outputs;
      tailed->name = consumer->name;
      count(*tailed, 1);
      graph.nodes[at] = std::move(graph.nodes[size_t(producerAt)]);
      for (int output : graph.nodes[at]->outputs)
        producers[size_t(output)] = int(at);
      return true;
    }
    if (auto *before = dynamic_cast<ElementwiseNode *>(producer)) {
      EltProgram program =
          inlineProgram(before->program, consumer->program, int(i));
      if (program.steps.size() > kMaxSteps)
        continue;
      std::vector<int> inputs = before->inputs;
      for (size_t j = 0; j < consumer->inputs.size(); ++j)
        if (j != i)
          inputs.push_back(consumer->inputs[j]);
      mergeInputs(program, inputs, 0);
      count(*consumer, -1);
      count(*before, -1);
      consumer->program = std::move(program);
      consumer->inputs = std::move(inputs);
      count(*consumer, 1);
      graph.nodes[size_t(producerAt)] = nullptr;
      return true;
    }
  }
  return false;
}

void Compiler::fuse() {
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!graph.nodes[i])
      continue;
    if (auto *node = dynamic_cast<ElementwiseNode *>(graph.nodes[i].get()))
      mergeInputs(node->program, node->inputs, 0);
  }
  countUses();
  for (size_t i = 0; i < graph.nodes.size(); ++i)
    while (graph.nodes[i] && fuseInto(i)) {
    }
  std::erase(graph.nodes, nullptr);
}

// A view keeps the whole tensor in memory: of a larger one, a smaller part than
// this is copied.
constexpr size_t kPartOfHeld = 4, kHeldBytes = 256 * 1024;

constexpr size_t kPageBytes = 4096;

static bool isSmall(const Node &node, const std::vector<TensorDesc> &ins,
                    const std::vector<TensorDesc> &outs) {
  int64_t products = node.products(ins, outs);
  return products > 0 && products < kParallelProducts;
}

std::unique_ptr<Kernel> Compiler::build(const Node &node,
                                        const std::vector<TensorDesc> &ins,
                                        const std::vector<TensorDesc> &outs,
                                        const std::vector<int> &inputs) {
  BuildContext context{ins, outs, {}, {}, packs};
  for (int input : inputs) {
    context.constants.push_back(constant(input));
    context.lasting.push_back(graph.tensors[size_t(input)].lasting);
  }
  TeamSize team; // oneDNN divides the work when it makes a primitive
  team.set(isSmall(node, ins, outs));
  try {
    node.checkTypes(ins, outs);
    return node.build(context);
  } catch (const KernelError &error) {
    throw GraphError(node.op, node.name, error.what());
  } catch (const dnnl::error &error) {
    throw GraphError(node.op, node.name,
                     std::string("oneDNN: ") + error.message);
  }
}

int Compiler::inOrder(int tensor, const Dims &order, const Node &user) {
  TensorDesc wanted = desc(tensor).in(order);
  if (desc(tensor).sameOrder(wanted))
    return tensor;
  auto [found, isNew] = reordered.insert({{tensor, order}, -1});
  if (!isNew)
    return found->second;
  ReorderNode node(order);
  node.op = user.op;
  node.name = user.name;
  int copy = int(graph.tensors.size());
  graph.tensors.push_back({wanted, nullptr, -1, false});
  found->second = copy;
  node.outputs = {copy};
  emit(node, {desc(tensor)}, {wanted}, {tensor});
  return copy;
}

void Compiler::fold(const Node &node, Kernel &kernel,
                    const std::vector<int> &inputs) {
  size_t operand = 0;
  for (int input : inputs)
    kernel.bind(operand++, const_cast<void *>(constant(input)));
  for (int output : node.outputs) {
    std::shared_ptr<void> memory = allocate(desc(output).bytes());
    kernel.bind(operand++, memory.get());
    graph.tensors[size_t(output)].constant = memory.get();
    result->owned.push_back(std::move(memory));
  }
  try {
    kernel.run();
  } catch (const KernelError &error) {
    throw GraphError(node.op, node.name, error.what());
  }
}

void Compiler::emit(const Node &node, const std::vector<TensorDesc> &ins,
                    const std::vector<TensorDesc> &outs,
                    const std::vector<int> &inputs) {
  std::unique_ptr<Kernel> kernel = build(node, ins, outs, inputs);
  bool folds = std::all_of(inputs.begin(), inputs.end(),
                           [&](int t) { return constant(t) != nullptr; });
  if (folds && !inputs.empty())
    return fold(node, *kernel, inputs);
  size_t step = result->list.size();
  size_t operand = 0;
  for (int input : inputs)
    uses.push_back({step, operand++, input});
  for (int output : node.outputs)
    uses.push_back({step, operand++, output});
  // What is read of a part may be behind what is written of the whole.
  auto readInParts = [&](int tensor) {
    return std::any_of(inputs.begin(), inputs.end(), [&](int other) {
      return isPart(other) && root(other) == root(tensor);
    });
  };
  std::vector<int> over;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (node.mayOverwrite(i) && !readInParts(inputs[i]) &&
        ins[i].dims == outs[0].dims && ins[i].dtype == outs[0].dtype &&
        ins[i].sameOrder(outs[0]))
      over.push_back(inputs[i]);
  if (!over.empty())
    overwritable.push_back({step, std::move(over)});
  result->list.push_back(
      {node.op, node.name, std::move(kernel), isSmall(node, ins, outs)});
}

void Compiler::place(Node &node) {
  std::vector<TensorDesc> ins, outs;
  for (int input : node.inputs)
    ins.push_back(desc(input));
  for (int output : node.outputs)
    outs.push_back(desc(output));
  node.chooseOrders(ins, outs);
  std::vector<int> inputs;
  for (size_t i = 0; i < ins.size(); ++i)
    inputs.push_back(inOrder(node.inputs[i], ins[i].order, node));
  for (size_t i = 0; i < outs.size(); ++i)
    desc(node.outputs[i]) = outs[i];
  if (ins.size() == 1)
    if (std::optional<size_t> offset = node.viewedAt(ins[0], outs[0]);
        offset && mayHold(inputs[0], outs[0].bytes())) {
      int output = node.outputs[0];
      if (const void *data = constant(inputs[0])) {
        graph.tensors[size_t(output)].constant =
            static_cast<const std::byte *>(data) + *offset;
        graph.tensors[size_t(output)].lasting =
            graph.tensors[size_t(inputs[0])].lasting;
      } else {
        aliasOf[output] = {inputs[0], *offset};
      }
      return;
    }
  emit(node, ins, outs, inputs);
}

/// The tensor whose memory it is.
int Compiler::root(int tensor) const {
  for (auto it = aliasOf.find(tensor); it != aliasOf.end();
       it = aliasOf.find(tensor))
    tensor = it->second.first;
  return tensor;
}

/// Whether a part of so many bytes may lie in the tensor's memory, which then
/// stays in use as long as the part.
bool Compiler::mayHold(int tensor, size_t bytes) const {
  const size_t held = graph.tensors[size_t(root(tensor))].desc.bytes();
  return constant(tensor) || held <= kHeldBytes ||
         bytes * kPartOfHeld >= held ||
         bytes == graph.tensors[size_t(tensor)].desc.bytes();
}

/// Where it lies in that memory.
size_t Compiler::offsetOf(int tensor) const {
  size_t offset = 0;
  for (auto it = aliasOf.find(tensor); it != aliasOf.end();
       it = aliasOf.find(tensor)) {
    offset += it->second.second;
    tensor = it->second.first;
  }
  return offset;
}

/// Whether it lies in a memory that is larger than it.
bool Compiler::isPart(int tensor) const {
  return graph.tensors[size_t(tensor)].desc.bytes() !=
         graph.tensors[size_t(root(tensor))].desc.bytes();
}

/// Each request for the tensor: its kernel writes where the caller asks for it,
/// or, of what lies otherwise or has a place already, a copy is made as soon as
/// it is there, so that its memory can be used again.
void Compiler::handOut(int tensor) {
  for (size_t i = 0; i < graph.requests.size(); ++i) {
    if (graph.requests[i] != tensor)
      continue;
    const TensorDesc from = desc(tensor);
    const int owner = root(tensor);
    if (from.isPlain() && !constant(tensor) && !isPart(tensor) &&
        graph.tensors[size_t(owner)].input < 0 &&
        outputOf.insert({owner, int(i)}).second)
      continue;
    ReorderNode node(plainOrder(from.rank()));
    node.op = "output";
    TensorDesc to = from.in(plainOrder(from.rank()));
    size_t step = result->list.size();
    result->list.push_back(
        {"output", "", build(node, {from}, {to}, {tensor}), false});
    uses.push_back({step, 0, tensor});
    uses.push_back({step, 1, -1, int(i)});
  }
}

void Compiler::assignBuffers() {
  bufferOf.assign(graph.tensors.size(), -1);
  // Last use of each tensor's memory.
  std::vector<size_t> lastUse(graph.tensors.size(), 0);
  for (const Use &use : uses)
    if (use.tensor >= 0)
      lastUse[size_t(root(use.tensor))] =
          std::max(lastUse[size_t(root(use.tensor))], use.step);

  size_t over = 0;
  for (const Use &use : uses) {
    if (use.tensor < 0 || constant(use.tensor))
      continue;
    int tensor = root(use.tensor);
    if (bufferOf[size_t(tensor)] >= 0) {
      Buffer &buffer = buffers[size_t(bufferOf[size_t(tensor)])];
      buffer.last = std::max(buffer.last, use.step);
      continue;
    }
    while (over < overwritable.size() && overwritable[over].first < use.step)
      ++over;
    int buffer = -1;
    int input = graph.tensors[size_t(tensor)].input;
    auto asked = outputOf.find(tensor);
    const int output = asked == outputOf.end() ? -1 : asked->second;
    if (input < 0 && output < 0 && over < overwritable.size() &&
        overwritable[over].first == use.step)
      for (int candidate : overwritable[over].second) {
        if (constant(candidate))
          continue;
        int from = root(candidate);
        int shared = bufferOf[size_t(from)];
        if (shared >= 0 && !buffers[size_t(shared)].isExternal() &&
            buffers[size_t(shared)].last <= use.step &&
            lastUse[size_t(from)] == use.step) {
          buffer = shared;
          break;
        }
      }
    if (buffer < 0) {
      buffer = int(buffers.size());
      buffers.push_back(
          {desc(tensor).bytes(), use.step, use.step, 0, input, output});
    }
    bufferOf[size_t(tensor)] = buffer;
    buffers[size_t(buffer)].last =
        std::max(buffers[size_t(buffer)].last, lastUse[size_t(tensor)]);
  }
  for (const auto &[view, of] : aliasOf)
    bufferOf[size_t(view)] = bufferOf[size_t(root(view))];

  // Best fit in the order of first use.
  std::vector<size_t> byFirst;
  for (size_t i = 0; i < buffers.size(); ++i)
    if (!buffers[i].isExternal())
      byFirst.push_back(i);
  std::stable_sort(byFirst.begin(), byFirst.end(), [&](size_t a, size_t b) {
    return buffers[a].first < buffers[b].first;
  });
  std::map<size_t, size_t> holes;     // offset -> bytes
  std::multimap<size_t, size_t> ends; // last step -> buffer
  auto padded = [](size_t bytes) {
    return (std::max<size_t>(bytes, 1) + 63) / 64 * 64;
  };
  auto release = [&](size_t offset, size_t bytes) {
    auto next = holes.lower_bound(offset);
    if (next != holes.end() && offset + bytes == next->first) {
      bytes += next->second;
      next = holes.erase(next);
    }
    if (next != holes.begin()) {
      auto previous = std::prev(next);
      if (previous->first + previous->second == offset) {
        previous->second += bytes;
        return;
      }
    }
    holes[offset] = bytes;
  };
  for (size_t i : byFirst) {
    Buffer &buffer = buffers[i];
    while (!ends.empty() && ends.begin()->first < buffer.first) {
      const Buffer &dead = buffers[ends.begin()->second];
      release(dead.offset, padded(dead.bytes));
      ends.erase(ends.begin());
    }
    size_t bytes = padded(buffer.bytes);
    auto best = holes.end();
    for (auto it = holes.begin(); it != holes.end(); ++it)
      if (it->second >= bytes &&
          (best == holes.end() || it->second < best->second))
        best = it;
    if (best != holes.end()) {
      buffer.offset = best->first;
      size_t left = best->second - bytes;
      holes.erase(best);
      if (left)
        holes[buffer.offset + bytes] = left;
    } else {
      // Grow the arena, over a hole at its end if there is one.
      buffer.offset = result->arenaSize;
      if (!holes.empty()) {
        auto tail = std::prev(holes.end());
        if (tail->first + tail->second == result->arenaSize) {
          buffer.offset = tail->first;
          holes.erase(tail);
        }
      }
      result->arenaSize = buffer.offset + bytes;
    }
    ends.insert({buffer.last, i});
  }
  result->arena = allocate(result->arenaSize);
  // The system gives a page when it is first touched, which takes as long as
  // copying it: not in the first run.
  auto *bytes = static_cast<volatile std::byte *>(result->arena.get());
  for (size_t at = 0; at < result->arenaSize; at += kPageBytes)
    bytes[at] = std::byte(0);
}

void Compiler::bindAll() {
  auto *base = static_cast<std::byte *>(result->arena.get());
  for (const Use &use : uses) {
    Kernel &kernel = *result->list[use.step].kernel;
    if (use.output >= 0) {
      result->outputUses.push_back({&kernel, use.operand, size_t(use.output)});
      continue;
    }
    if (const void *data = constant(use.tensor)) {
      kernel.bind(use.operand, const_cast<void *>(data));
      continue;
    }
    const Buffer &buffer = buffers[size_t(bufferOf[size_t(use.tensor)])];
    const size_t offset = offsetOf(use.tensor);
    if (buffer.input >= 0)
      result->inputUses.push_back(
          {&kernel, use.operand, size_t(buffer.input), offset});
    else if (buffer.output >= 0)
      result->outputUses.push_back(
          {&kernel, use.operand, size_t(buffer.output), offset});
    else
      kernel.bind(use.operand, base + buffer.offset + offset);
  }
  for (const Executable::Step &step : result->list)
    if (step.kernel->mayHideNan()) {
      result->hidesNan = true;
      result->hidesNanInTeam |= !step.alone;
    }
  result->lastInputs.assign(size_t(graph.inputs), nullptr);
  result->lastOutputs.assign(graph.requests.size(), nullptr);
}

std::unique_ptr<Executable> Compiler::compile() {
  removeDead();
  fuse();
  std::vector<std::unique_ptr<Node>> nodes = std::move(graph.nodes);
  std::vector<bool> made(graph.tensors.size());
  for (std::unique_ptr<Node> &node : nodes) {
    place(*node);
    for (int output : node->outputs) {
      made[size_t(output)] = true;
      handOut(output);
    }
  }
  for (size_t tensor = 0; tensor < made.size(); ++tensor)
    if (!made[tensor] && graph.tensors[tensor].requested)
      handOut(int(tensor));
  assignBuffers();
  bindAll();
  for (std::shared_ptr<void> &data : graph.owned)
    result->owned.push_back(std::move(data));
  return std::move(result);
}

std::unique_ptr<Executable> Graph::compile(PackCache &packs) && {
  return Compiler(std::move(*this), packs).compile();
}

static void *moved(const void *data, size_t bytes) {
  return static_cast<std::byte *>(const_cast<void *>(data)) + bytes;
}

void Executable::run(std::span<const void *const> inputs,
                     std::span<void *const> outputs,
                     std::span<double> seconds) {
  assert(seconds.empty() || seconds.size() == list.size());
  for (const External &use : inputUses)
    if (lastInputs[use.index] != inputs[use.index])
      use.kernel->bind(use.operand, moved(inputs[use.index], use.offset));
  std::copy(inputs.begin(), inputs.end(), lastInputs.begin());
  for (const External &use : outputUses)
    use.kernel->bind(use.operand, moved(outputs[use.index], use.offset));
  if (!hidesNan)
    return runAll(&Kernel::run, seconds);
  bool invalid;
  {
    InvalidWatch watch(hidesNanInTeam);
    runAll(&Kernel::run, seconds);
    invalid = watch.seen();
  }
  if (invalid)
    runAll(&Kernel::runExact, seconds);
}

void Executable::runAll(void (Kernel::*method)(), std::span<double> seconds) {
  using Clock = std::chrono::steady_clock;
  TeamSize team;
  for (size_t i = 0; i < list.size(); ++i) {
    Step &step = list[i];
    team.set(step.alone);
    Clock::time_point start;
    if (!seconds.empty())
      start = Clock::now();
    try {
      (*step.kernel.*method)();
    } catch (const KernelError &error) {
      throw GraphError(step.op, step.name, error.what());
    } catch (const dnnl::error &error) {
      throw GraphError(step.op, step.name,
                       std::string("oneDNN: ") + error.message);
    }
    if (!seconds.empty())
      seconds[i] = std::chrono::duration<double>(Clock::now() - start).count();
  }
}

} // namespace tpumlir::kernels

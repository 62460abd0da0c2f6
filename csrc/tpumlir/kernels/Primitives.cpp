#include "tpumlir/kernels/Primitives.h"

namespace tpumlir::kernels {

FilterKernel::FilterKernel(const Parts &parts, bool hasBias,
                           const std::optional<EltProgram> &tail,
                           const BuildContext &context)
    : core(hasBias ? 3 : 2), output(context.inputs.size()), hasBias(hasBias),
      name(parts.implementation), main(parts.primitive) {
  sourceAt = main.add(DNNL_ARG_SRC, parts.source);
  filterAt = main.add(DNNL_ARG_WEIGHTS, parts.filter);
  if (hasBias)
    biasAt = main.add(DNNL_ARG_BIAS, parts.bias);
  destinationAt = main.add(DNNL_ARG_DST, parts.destination);
  for (const PostOps::Operand &operand : parts.post.operands) {
    int index = DNNL_ARG_ATTR_MULTIPLE_POST_OP(operand.post) |
                (operand.slope ? DNNL_ARG_WEIGHTS : DNNL_ARG_SRC_1);
    postAt.push_back(
        {core + size_t(operand.tailInput) - 1, main.add(index, operand.desc)});
  }

  if (parts.filter != parts.plainFilter) {
    if (const void *constant = context.constants[1]) {
      packed = context.packs.pack(constant, parts.plainFilter, parts.filter,
                                  context.lasting[1]);
    } else {
      packsEachRun = true;
      packed = allocate(parts.filter.get_size());
      dnnl::reorder::primitive_desc pd(cpu(), parts.plainFilter, cpu(),
                                       parts.filter);
      repack = Primitive(dnnl::reorder(pd));
      repack.add(DNNL_ARG_FROM, parts.plainFilter);
      repack.add(DNNL_ARG_TO, parts.filter, packed.get());
    }
    main.bind(filterAt, packed.get());
  }

  if (!tail)
    return;
  if (std::optional<EltProgram> steps = remainder(*tail, parts.post.steps)) {
    std::vector<TensorDesc> inputs{context.outputs[0]};
    inputs.insert(inputs.end(), context.inputs.begin() + int64_t(core),
                  context.inputs.end());
    rest =
        std::make_unique<ElementwiseKernel>(*steps, inputs, context.outputs[0]);
    name += "+" + rest->implementation();
  }
}

void FilterKernel::bind(size_t operand, void *data) {
  Kernel::bind(operand, data);
  if (exact)
    exact->bind(operand, data);
  if (operand == 0)
    main.bind(sourceAt, data);
  else if (operand == 1 && packsEachRun)
    repack.bind(0, data);
  else if (operand == 1 && !packed)
    main.bind(filterAt, data);
  else if (operand == 2 && hasBias)
    main.bind(biasAt, data);
  else if (operand == output)
    main.bind(destinationAt, data);
  for (auto [from, argument] : postAt)
    if (from == operand)
      main.bind(argument, data);
  if (!rest)
    return;
  if (operand == output) {
    rest->bind(0, data);
    rest->bind(output - core + 1, data);
  } else if (operand >= core) {
    rest->bind(operand - core + 1, data);
  }
}

void FilterKernel::runExact() {
  if (!makeExact)
    return run();
  if (!exact) {
    exact = makeExact();
    for (size_t i = 0; i < addresses.size(); ++i)
      exact->bind(i, addresses[i]);
  }
  exact->run();
}

void FilterKernel::run() {
  if (packsEachRun)
    repack.execute();
  main.execute();
  if (rest)
    rest->run();
}

} // namespace tpumlir::kernels

#include "report/generated_text.h"

#include "report/json.h"

namespace unroll {

std::string to_json(const GeneratedReport& report) {
  return dump({{"prompt", report.prompt},
               {"text", report.text},
               {"tokens", report.tokens},
               {"seed", report.seed},
               {"sample", report.sample},
               {"nats_per_token", report.nats / static_cast<double>(report.tokens)}});
}

}  // namespace unroll

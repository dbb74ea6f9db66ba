#include "report/surprise.h"

#include "report/json.h"

namespace unroll {

std::string surprise_line(int64_t position, std::string_view token, int64_t index, float nats,
                          TokenKind kind) {
  const bool byte = kind == TokenKind::kByte && token.size() == 1;
  return dump({{"position", position},
               {"token", byte ? Json(static_cast<unsigned char>(token[0])) : Json(token)},
               {"index", index},
               {"nats", nats}});
}

}  // namespace unroll

#include "report/table.h"

#include <gtest/gtest.h>

namespace unroll {
namespace {

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  Table table;
  table.add({"", "perplexity"});
  table.add({"scratch", "1.0"});
  table.add({"total"});
  EXPECT_EQ(table.text(),
            "         perplexity\n"
            "scratch         1.0\n"
            "total\n");
}

TEST(Table, WideCharactersTakeTwoColumnsAndAccentsNone) {
  EXPECT_EQ(display_width("\xe6\x99\x82\xe9\x96\x93"), 4);  // two ideographs
  EXPECT_EQ(display_width("e\xcc\x81"), 1);                 // e and its accent
  EXPECT_EQ(display_width("\xff"), 1);                      // no character
  Table table;
  table.add({"\xe6\x99\x82", "a"});
  table.add({"abc", "e\xcc\x81"});
  EXPECT_EQ(table.text(), "\xe6\x99\x82   a\nabc  e\xcc\x81\n");
}

}  // namespace
}  // namespace unroll

#include "page/html.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace unroll {
namespace {

using ::testing::HasSubstr;

TEST(Html, NothingOfATextIsTakenForMarkup) {
  EXPECT_EQ(escaped("<script>a && \"b\" 'c'</script>"),
            "&lt;script&gt;a &amp;&amp; &quot;b&quot; &#39;c&#39;&lt;/script&gt;");
  EXPECT_EQ(escaped("a\n\tb\x1b[1m\xff"), "a\n\tb\xe2\x90\x9b[1m\\xff");
  EXPECT_EQ(element("p", "<b>x</b>", {{"title", "\"><script>"}}),
            "<p title=\"&quot;&gt;&lt;script&gt;\"><b>x</b></p>");
}

TEST(Html, ANumberCanBeReadInFullPrecision) {
  EXPECT_EQ(number(1.0 / 3, 2), "<data value=\"0.3333333333333333\">0.33</data>");
  EXPECT_EQ(number(std::numeric_limits<double>::infinity(), 2), "-");
}

TEST(Html, ATableHasACaptionAndHeaders) {
  Table table;
  table.add({"", "a<b"});
  table.add({"row", "1"});
  const auto html = html_table("Some & more", table);
  for (const char* expected :
       {"<caption>Some &amp; more</caption>", "<th scope=\"col\">a&lt;b</th>",
        "<th scope=\"row\">row</th><td>1</td>", "aria-label=\"Some &amp; more\""}) {
    EXPECT_THAT(html, HasSubstr(expected));
  }
  EXPECT_EQ(html_table("Nothing", Table{}), "");
  EXPECT_EQ(text_table("Nothing", {"a", "b"}, {}), "");
  EXPECT_THAT(text_table("Texts", {"a", "b"}, {{"1", "<i>"}}),
              HasSubstr("<span class=\"text\">&lt;i&gt;</span>"));
}

TEST(Html, EachLineIsAParagraph) {
  EXPECT_EQ(paragraphs("a\n<b>\n"), "<p>a</p>\n<p>&lt;b&gt;</p>\n");
  EXPECT_EQ(paragraphs(""), "");
}

}  // namespace
}  // namespace unroll

//! What is shown of HTML, for policies that read words.

/// Marks that part words; all others join what they part, `vi<b>ag</b>ra`.
const PARTING: &str = "address article aside audio blockquote body br button canvas caption center col dd details dialog \
    dir div dl dt fieldset figcaption figure footer form frame h1 h2 h3 h4 h5 h6 head header hr html \
    iframe img input legend li main menu nav noembed noframes object ol optgroup option p plaintext pre \
    section select summary table tbody td textarea tfoot th thead title tr ul xmp";

/// Marks in whose text there are no others, up to their own end.
const RAW: [&str; 9] = [
    "iframe",
    "noembed",
    "noframes",
    "plaintext",
    "script",
    "style",
    "textarea",
    "title",
    "xmp",
];
/// Those of them whose text nobody sees.
const HIDDEN: [&str; 2] = ["script", "style"];
/// Marks in which it depends on what is around whether those are raw.
const TREES: [&str; 3] = ["math", "select", "svg"];

/// The text that a browser shows, with spaces where marks part words. Marks are read as browsers do (HTML Living
/// Standard §13.2.5), but no tree is made of them: where that matters, and by styles, more is shown than there.
#[must_use]
pub fn shown(html: &str) -> String {
    let mut shown = String::new();
    read(html, &RAW, false, &mut shown);
    shown
}

/// `doubtful`: marks may not be raw that are said to be, and their text is then read in both ways.
fn read(html: &str, raw: &[&str], mut doubtful: bool, shown: &mut String) {
    let mut rest = html;
    while let Some((before, mark)) = rest.split_once('<') {
        show(before, shown);
        let closing = mark.strip_prefix('/');
        let name = closing.unwrap_or(mark);
        if let Some(comment) = mark.strip_prefix("!--") {
            rest = behind_comment(comment);
        } else if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let end = name.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
            let (name, attributes) = name.split_at(end.unwrap_or(name.len()));
            let name = name.to_ascii_lowercase();
            rest = behind_mark(attributes);
            if PARTING.split(' ').any(|one| one == name) {
                shown.push(' ');
            }
            doubtful |= TREES.contains(&&*name);
            if closing.is_none() && raw.contains(&&*name) {
                let (inside, behind) = raw_text(rest, &name);
                rest = behind;
                if !HIDDEN.contains(&&*name) {
                    show(inside, shown);
                }
                if doubtful {
                    // Without its own name: so there is an end to it, and no text is read more than a few times.
                    let others: Vec<&str> = raw.iter().copied().filter(|other| *other != name).collect();
                    shown.push(' ');
                    read(inside, &others, doubtful, shown);
                    shown.push(' ');
                }
            }
        } else if closing.is_some() || mark.starts_with(['!', '?']) {
            let (inside, behind) = mark.split_once('>').unwrap_or((mark, ""));
            rest = behind;
            if let Some(text) = inside.strip_prefix("![CDATA[") {
                show(text, shown);
            }
        } else {
            shown.push('<');
            rest = mark;
        }
    }
    show(rest, shown);
}

/// What follows a comment; nothing where it has no end.
fn behind_comment(comment: &str) -> &str {
    let mut pieces = comment.match_indices('>').map(|(at, _)| comment.split_at(at));
    // `<!-->` and `<!--->` are whole comments.
    let ends = |text: &str| matches!(text, "" | "-") || text.ends_with("--") || text.ends_with("--!");
    let end = pieces.find(|(text, _)| ends(text));
    end.and_then(|(_, behind)| behind.strip_prefix('>'))
        .unwrap_or_default()
}

/// Where in a mark.
#[derive(Clone, Copy)]
enum Place {
    /// Before an attribute's name.
    Gap,
    Name,
    /// Behind a name and white space.
    Named,
    /// Behind `=`.
    Equals,
    Bare,
    Quoted(char),
}

/// What follows a mark of these attributes; nothing where it has no end. A quote is one only where a value begins.
fn behind_mark(attributes: &str) -> &str {
    let mut place = Place::Gap;
    for (at, c) in attributes.char_indices() {
        place = match (place, c) {
            (Place::Quoted(quote), c) if c == quote => Place::Gap,
            (Place::Quoted(_), _) => place,
            (_, '>') => return attributes.get(at + 1..).unwrap_or_default(),
            (Place::Equals, '"' | '\'') => Place::Quoted(c),
            (Place::Name | Place::Named, '=') => Place::Equals,
            (Place::Name | Place::Named, c) if c.is_ascii_whitespace() => Place::Named,
            (Place::Equals, c) if c.is_ascii_whitespace() => Place::Equals,
            (Place::Gap | Place::Bare, c) if c.is_ascii_whitespace() => Place::Gap,
            (Place::Gap | Place::Name | Place::Named, '/') => Place::Gap,
            (Place::Gap | Place::Name | Place::Named, _) => Place::Name,
            (Place::Equals | Place::Bare, _) => Place::Bare,
        }
    }
    ""
}

/// Text up to the end of the mark of that name, and what begins with that end. `plaintext` has none.
fn raw_text<'a>(html: &'a str, name: &str) -> (&'a str, &'a str) {
    let is_end = |at: &usize| {
        let behind = html
            .get(at + 2..)
            .and_then(|tail| tail.split_at_checked(name.len()));
        behind.is_some_and(|(found, behind)| {
            let ends = behind.starts_with(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
            ends && name != "plaintext" && found.eq_ignore_ascii_case(name)
        })
    };
    let end = html.match_indices("</").map(|(at, _)| at).find(is_end);
    html.split_at(end.unwrap_or(html.len()))
}

/// Text, with the characters that its references stand for: all numbers, and the names that are most used.
fn show(text: &str, shown: &mut String) {
    let mut pieces = text.split('&');
    shown.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        match reference(piece) {
            Some((c, behind)) => {
                shown.push(c);
                shown.push_str(behind.strip_prefix(';').unwrap_or(behind));
            }
            None => shown.extend(["&", piece]),
        }
    }
}

/// The character of a reference, and what is behind it.
fn reference(text: &str) -> Option<(char, &str)> {
    let Some(number) = text.strip_prefix('#') else {
        let mut named = [
            ("amp", '&'),
            ("lt", '<'),
            ("gt", '>'),
            ("quot", '"'),
            ("nbsp", ' '),
        ]
        .into_iter();
        return named.find_map(|(name, c)| Some((c, text.strip_prefix(name)?)));
    };
    let (number, radix) = match number.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => (hexadecimal, 16),
        None => (number, 10),
    };
    let end = number.find(|c: char| !c.is_digit(radix)).unwrap_or(number.len());
    let (digits, behind) = number.split_at(end);
    let c = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    Some((c, behind))
}

#[cfg(test)]
mod tests {
    use super::shown;

    /// Words in a row.
    fn words(html: &str) -> String {
        let shown = shown(html);
        let words = shown
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn marks_join_or_part_words() {
        for (html, expected) in [
            ("vi<b>ag</b>ra", "viagra"),
            ("via<wbr/>gra", "viagra"),
            ("via<wbr>gra vi<x-y>ag</x-y>ra", "viagra viagra"),
            ("vi<!-- x -->agra", "viagra"),
            ("vi<?x?>ag<!x>r</>a", "viagra"),
            ("<p>free</p><P>money<br/>now", "free money now"),
            ("<td>free<td\n>money", "free money"),
            ("", ""),
        ] {
            assert_eq!(words(html), expected, "{html}");
        }
    }

    #[test]
    fn a_mark_begins_with_a_letter_a_stroke_or_a_sign() {
        for (html, expected) in [
            ("I <3 you, buy viagra now<p>", "I 3 you buy viagra now"),
            ("1 < 2 casino", "1 2 casino"),
            ("a <<b>casino", "a casino"),
            ("casino <", "casino"),
            ("casino </", "casino"),
            ("a </3 x>casino", "a casino"),
        ] {
            assert_eq!(words(html), expected, "{html}");
        }
    }

    #[test]
    fn comments_go_to_their_ends() {
        for (html, expected) in [
            ("<!-- <style> -->buy viagra", "buy viagra"),
            ("<!-- <a title=\" -->buy", "buy"),
            ("<!-->buy <!--->now", "buy now"),
            ("<!---->buy<!-- x --!> now", "buy now"),
            ("<!-- a > b -- c - ->x--->buy", "buy"),
            ("buy <!-- viagra", "buy"),
            ("<!doctype html>buy", "buy"),
        ] {
            assert_eq!(words(html), expected, "{html}");
        }
    }

    #[test]
    fn attributes_are_no_text_and_quotes_are_only_around_values() {
        for (html, expected) in [
            ("<a title=\"<script>\">viagra</a>", "viagra"),
            ("<p title='casino > x'>y", "y"),
            ("<p title = \">\" x>y", "y"),
            ("<a \">viagra<b \">", "viagra"),
            ("<a =\">viagra", "viagra"),
            ("<a b==\">viagra", "viagra"),
            ("<a b=c=\">viagra", "viagra"),
            ("<a b=c/\">viagra", "viagra"),
            ("<a b='\"'c=\"'\"/>viagra", "viagra"),
            ("</a b=\">\">viagra", "viagra"),
            ("x <p casino", "x"),
            ("x <p a=\">casino", "x"),
        ] {
            assert_eq!(words(html), expected, "{html}");
        }
    }

    #[test]
    fn raw_text_goes_to_its_own_end() {
        for (html, expected) in [
            ("<style>casino { }</style>x", "x"),
            ("<style>a<b>casino</b></style>x", "x"),
            ("<SCRIPT>'</style>' </scripts></SCRIPT\n>x", "x"),
            ("<style><!--</style>x<!-- y -->", "x"),
            ("<style/>casino</style>x", "x"),
            ("</style>x<style>casino", "x"),
            ("<textarea><style></textarea>x", "style x"),
            ("<title><!--</title>x", "x"),
            ("<plaintext></plaintext><style>x", "plaintext style x"),
        ] {
            assert_eq!(words(html), expected, "{html}");
        }
    }

    #[test]
    fn where_raw_text_may_be_none_it_is_read_in_both_ways() {
        for html in [
            "<svg><style></svg>viagra",
            "<svg><style></svg>viagra<svg></style></svg>",
            "<select><style></select>viagra</style>",
            "<svg><foreignObject><style><!--</style></foreignObject></svg>viagra<!-- -->",
            "<math><style></math><title><!--</title>viagra</style>",
            "<svg><text><![CDATA[viagra]]></text></svg>",
        ] {
            assert!(words(html).split(' ').any(|word| word == "viagra"), "{html}");
        }
    }

    #[test]
    fn marks_that_never_end_are_read_a_few_times_at_most() {
        for mark in [
            "<style>",
            "<title>",
            "<plaintext>",
            "<style></style>",
            "<![CDATA[",
            "<!--",
            "<a b=\"",
        ] {
            let html = format!("<svg>{}", mark.repeat(1 << 17));
            let most = 16 * html.len();
            assert!(shown(&html).len() < most, "{mark}");
        }
    }

    #[test]
    fn references_are_characters() {
        for (html, expected) in [
            ("&#118;i&#x61;gra", "viagra"),
            ("v&#105agra &#X76;", "viagra v"),
            ("free&nbsp;money&amp;more", "free money more"),
            ("&lt;b>x", "b x"),
            ("a&;&#;&#x;&#1114112;b", "a x 1114112 b"),
        ] {
            assert_eq!(words(html), expected, "{html}");
        }
    }
}

//! What is shown of HTML, for policies that read words.

use std::collections::BTreeSet;

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
/// Standard §13.2.5), but no tree is made of them: where that matters, and by styles, more is shown than there. It
/// is at most twice as long as the HTML.
#[must_use]
pub fn shown(html: &str) -> String {
    let parting = PARTING.split_whitespace().collect();
    let mut shown = String::new();
    if let Some(doubtful) = read(html, Way::Raw, &parting, &mut shown) {
        shown.push(' ');
        read(doubtful, Way::NoneRaw, &parting, &mut shown);
    }
    shown
}

/// How text is read behind marks of [`RAW`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Raw,
    /// As any other text. Comments and marks in which marks begin are read too, behind all else: they may have begun in
    /// what is raw.
    NoneRaw,
}

/// Answers from where on marks may not be raw that were taken so.
fn read<'a>(html: &'a str, way: Way, parting: &BTreeSet<&str>, shown: &mut String) -> Option<&'a str> {
    let (mut rest, mut in_tree, mut doubtful) = (html, false, None);
    let mut aside: Vec<&str> = Vec::new();
    while let Some((before, mark)) = rest.split_once('<') {
        show(before, shown);
        let closing = mark.strip_prefix('/');
        let name = closing.unwrap_or(mark);
        if let Some(comment) = mark.strip_prefix("!--") {
            rest = behind_comment(comment);
            aside.push(before_rest(comment, rest));
        } else if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let end = name.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
            let (name, attributes) = name.split_at(end.unwrap_or(name.len()));
            let name = name.to_ascii_lowercase();
            rest = behind_mark(attributes);
            aside.push(before_rest(attributes, rest));
            if parting.contains(&*name) {
                shown.push(' ');
            }
            in_tree |= TREES.contains(&&*name);
            if way == Way::Raw && closing.is_none() && RAW.contains(&&*name) {
                if in_tree {
                    doubtful.get_or_insert(rest);
                }
                let (inside, behind) = raw_text(rest, &name);
                rest = behind;
                if !HIDDEN.contains(&&*name) {
                    show(inside, shown);
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
    if way == Way::NoneRaw {
        for piece in aside.into_iter().filter(|piece| piece.contains('<')) {
            show_between_marks(piece, parting, shown);
        }
    }
    doubtful
}

/// Text that has that end, without it.
fn before_rest<'a>(text: &'a str, rest: &str) -> &'a str {
    text.get(..text.len() - rest.len()).unwrap_or_default()
}

/// What may be text where it is not known in what it begins: marks go to the next `>`, and hide nothing behind it.
fn show_between_marks(text: &str, parting: &BTreeSet<&str>, shown: &mut String) {
    let mut pieces = text.split('<');
    shown.push(' ');
    show(pieces.next().unwrap_or_default(), shown);
    for piece in pieces {
        let (mark, behind) = piece.split_once('>').unwrap_or(("p", piece));
        let name = mark.trim_start_matches('/');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric());
        let (name, _) = name.split_at(end.unwrap_or(name.len()));
        if parting.contains(&*name.to_ascii_lowercase()) {
            shown.push(' ');
        }
        show(behind, shown);
    }
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
    use super::{RAW, shown};

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
            "<math><style></math><title><!--</title>vi<b>ag</b>ra</style><!-- -->",
            "<math><style></math><title><a b=\"</title>viagra</style>",
            "<svg><style><title></svg>vi<b>ag</b>ra</title></style>",
            "<svg><style></svg>vi<b title=\">\">ag</b>ra",
            "<svg><style></svg>vi<!-- < -->agra",
        ] {
            assert!(words(html).split(' ').any(|word| word == "viagra"), "{html}");
        }
    }

    #[test]
    fn text_is_shown_twice_at_most() {
        let nested: String = RAW.iter().map(|name| format!("<{name}>")).collect();
        let html = format!("<svg>{nested}{}", "a ".repeat(32 << 10));
        assert!(shown(&html).len() <= 2 * html.len());
        assert_eq!(words(&html).matches('a').count() / (32 << 10), 2);
        for mark in [
            "<style>",
            "<title>",
            "<plaintext>",
            "<style></style>",
            "<![CDATA[",
            "<!--",
            "<a b=\"",
            "<br>",
            "<!--<br>-->",
            "<a b=<p>",
            "<style><!--",
            "<title><a b=\"",
        ] {
            let html = format!("<svg><xmp></xmp>{}", mark.repeat(1 << 17));
            let shown = shown(&html);
            assert!(shown.len() <= 2 * html.len(), "{mark}: {}", shown.len());
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

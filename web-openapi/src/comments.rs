//! The comments of the protos, by what they stand above.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, EnumValueDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor,
    MethodDescriptor, ServiceDescriptor,
};

/// The comments of every file. Empty texts where the descriptors were made without them.
pub(crate) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    pub(crate) fn of(pool: &DescriptorPool) -> Self {
        let mut found = HashMap::new();
        for file in pool.files() {
            let info = file.file_descriptor_proto().source_code_info.as_ref();
            for location in info.map(|info| info.location.as_slice()).unwrap_or_default() {
                let text = paragraphs(location.leading_comments());
                if !text.is_empty() {
                    found.insert((file.name().to_owned(), location.path.clone()), text);
                }
            }
        }
        Self(found)
    }

    fn at(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        let key = (file.name().to_owned(), path.to_vec());
        self.0.get(&key).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn of_service(&self, service: &ServiceDescriptor) -> &str {
        self.at(&service.parent_file(), service.path())
    }

    pub(crate) fn of_method(&self, method: &MethodDescriptor) -> &str {
        self.at(&method.parent_file(), method.path())
    }

    pub(crate) fn of_message(&self, message: &MessageDescriptor) -> &str {
        self.at(&message.parent_file(), message.path())
    }

    pub(crate) fn of_field(&self, field: &FieldDescriptor) -> &str {
        self.at(&field.parent_file(), field.path())
    }

    pub(crate) fn of_value(&self, value: &EnumValueDescriptor) -> &str {
        self.at(&value.parent_file(), value.path())
    }

    pub(crate) fn of_enum(&self, of: &prost_reflect::EnumDescriptor) -> &str {
        self.at(&of.parent_file(), of.path())
    }
}

/// The text of a comment: lines of a paragraph in one line, a blank line between two paragraphs.
fn paragraphs(comment: &str) -> String {
    let mut text = String::new();
    let mut fresh = true;
    for line in comment.lines().map(str::trim) {
        if line.is_empty() {
            fresh = true;
            continue;
        }
        if !text.is_empty() {
            text.push_str(if fresh { "\n\n" } else { " " });
        }
        fresh = false;
        text.push_str(line);
    }
    text
}

/// The first sentence, without its full stop.
pub(crate) fn first_sentence(text: &str) -> &str {
    let line = text.split("\n\n").next().unwrap_or_default();
    let end = line.find(". ").or_else(|| line.strip_suffix('.').map(str::len));
    end.and_then(|end| line.get(..end)).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_paragraph_become_one() {
        assert_eq!(paragraphs(" One\n two.\n\n Three.\n"), "One two.\n\nThree.");
        assert_eq!(paragraphs(""), "");
    }

    #[test]
    fn a_summary_is_the_first_sentence() {
        assert_eq!(first_sentence("Places an order. Customers."), "Places an order");
        assert_eq!(first_sentence("Lists orders."), "Lists orders");
        assert_eq!(first_sentence("No stop\n\nMore. Text."), "No stop");
    }
}

//! What a column can hold.

use serde::Deserialize;

/// A field of an order or of one of its lines. A mapping names it as here, in `snake_case`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The number of the order. Rows of one order have the same.
    Number,
    /// When it was ordered.
    OrderedAt,
    /// Where it stands: a word of `[states]`.
    Status,
    /// Whether it was paid: a word of `[states]`.
    PaymentStatus,
    /// When it was cancelled; empty if it was not.
    CancelledAt,
    /// Why.
    CancelReason,
    /// The currency of all its amounts.
    Currency,
    /// The customer's number; the e-mail address where empty.
    Customer,
    /// E-mail address.
    Email,
    /// Phone.
    Phone,
    /// Language.
    Locale,
    /// A note.
    Note,
    /// Words for whoever brings it.
    Instructions,
    /// Tags, with commas between them.
    Tags,
    /// The lines less all discounts, without charges.
    Subtotal,
    /// All discounts.
    Discount,
    /// The code of a coupon.
    DiscountLabel,
    /// What shipping costs.
    Shipping,
    /// How it is shipped.
    ShippingLabel,
    /// The tax of that.
    ShippingTax,
    /// Other charges.
    Fee,
    /// The tax of them.
    FeeTax,
    /// All taxes, where they are not said by line.
    Tax,
    /// Whether prices contain the taxes: yes or no.
    TaxesIncluded,
    /// What the customer pays.
    Total,
    /// What was paid back.
    Refunded,
    /// Who brought it.
    Carrier,
    /// The carrier's number of the parcel.
    Tracking,
    /// Who gets it.
    ShipName,
    /// The given name, where it stands apart.
    ShipFirstName,
    /// The family name, where it stands apart.
    ShipLastName,
    /// The company.
    ShipCompany,
    /// Street and number.
    ShipStreet,
    /// A second line.
    ShipStreetLine2,
    /// City.
    ShipCity,
    /// State, province or county.
    ShipRegion,
    /// Postal code.
    ShipPostalCode,
    /// Country: code or name.
    ShipCountry,
    /// The phone at the door.
    ShipPhone,
    /// The same of the invoice's address.
    BillName,
    /// The given name, where it stands apart.
    BillFirstName,
    /// The family name, where it stands apart.
    BillLastName,
    /// The company.
    BillCompany,
    /// Street and number.
    BillStreet,
    /// A second line.
    BillStreetLine2,
    /// City.
    BillCity,
    /// State, province or county.
    BillRegion,
    /// Postal code.
    BillPostalCode,
    /// Country: code or name.
    BillCountry,
    /// Phone.
    BillPhone,
    /// What tells two lines of an order apart; the same twice is one line.
    LineId,
    /// The product.
    Sku,
    /// Its name.
    Title,
    /// Units.
    Quantity,
    /// The price, before discounts: of one unit, or of all where `price = "line"`.
    Price,
    /// The price of all units before discounts.
    LineSubtotal,
    /// The price of all units after discounts.
    LineTotal,
    /// The discount of all units.
    LineDiscount,
    /// The tax of all units.
    LineTax,
    /// Whether the line is taxed: yes or no.
    LineTaxable,
    /// Where the line stands: a word of `[states]`.
    LineStatus,
    /// Units that came back.
    LineRefundedUnits,
    /// The seller, a UUID.
    Seller,
    /// What shipping of this line costs.
    LineShipping,
    /// The tax of that.
    LineShippingTax,
    /// The discount of that.
    LineShippingDiscount,
    /// What wrapping of this line costs.
    LineGiftWrap,
    /// The tax of that.
    LineGiftWrapTax,
}

/// Fields of which rows of one order must not say two things.
pub const ONCE: [Field; 5] =
    [Field::OrderedAt, Field::Currency, Field::Customer, Field::Email, Field::Total];

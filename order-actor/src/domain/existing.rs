/// What an id that is used again belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// An order.
    Order,
    /// A parcel of the order.
    Shipment,
    /// A return that waits or was approved.
    Return,
    /// A rejected return: it cannot be requested again under its id.
    RejectedReturn,
    /// The judgement of a return.
    Judgement,
    /// The receipt of a return's goods.
    Receipt,
    /// A hold that stands.
    Hold,
    /// A released hold: the order cannot be held again under its id.
    ReleasedHold,
    /// The release of a hold.
    Release,
    /// The delivery of a parcel.
    Delivery,
    /// The end of a parcel that was lost or came back.
    UndoneShipment,
    /// An edit of the order's lines.
    Edit,
    /// A parcel that was lost or came back: nothing ships again under its id.
    UndoneParcel,
}

impl Existing {
    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Order => "ORDER",
            Self::Shipment => "SHIPMENT",
            Self::Return => "RETURN",
            Self::RejectedReturn => "REJECTED_RETURN",
            Self::Judgement => "JUDGEMENT",
            Self::Receipt => "RECEIPT",
            Self::Hold => "HOLD",
            Self::ReleasedHold => "RELEASED_HOLD",
            Self::Release => "RELEASE",
            Self::Delivery => "DELIVERY",
            Self::UndoneShipment => "UNDONE_SHIPMENT",
            Self::Edit => "EDIT",
            Self::UndoneParcel => "UNDONE_PARCEL",
        }
    }

    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::Order => "an order with this id exists with other content",
            Self::Shipment => "a parcel with this id was shipped with other content",
            Self::Return => "a return with this id was requested with other content",
            Self::RejectedReturn => {
                "the return with this id was rejected; request it under another return id"
            }
            Self::Judgement => "this return was judged otherwise",
            Self::Receipt => "this return was received with other content",
            Self::Hold => "the order is held under this id or name with other content",
            Self::ReleasedHold => "the hold with this id was released; hold it under another id",
            Self::Release => "this hold was released for another reason",
            Self::Delivery => "this parcel was delivered at another time",
            Self::UndoneShipment => "this parcel was undone otherwise",
            Self::Edit => "an edit with this id was asked for with other content",
            Self::UndoneParcel => {
                "the parcel with this id came back or was lost; ship under another id and reference"
            }
        }
    }
}

//! The countries of ISO 3166-1, by code, as Chinese and English callers call them.

use std::cmp::Ordering;

use tollgate_types::Country;

use crate::language::Language;

/// What a country is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Names {
    zh: &'static str,
    /// How the Chinese name is read, a syllable for each character: Chinese lists are in this order.
    pinyin: &'static str,
    en: &'static str,
}

/// What a country is called in a language; its code in capitals where ISO 3166-1 does not know it
/// (`xk`, say, which the operator may use nevertheless).
pub(crate) fn name(country: Country, language: Language) -> String {
    match find(country) {
        Some(names) => language.pick(names.zh, names.en).to_owned(),
        None => country.as_str().to_ascii_uppercase(),
    }
}

/// The order by name in a language: by pinyin, or by the alphabet without regard to accents. What
/// has no name comes last, by code.
pub(crate) fn by_name(a: Country, b: Country, language: Language) -> Ordering {
    let key = |country| {
        let names = find(country);
        let key = names.map(|names| match language {
            Language::Zh => names.pinyin.to_owned(),
            Language::En => names.en.chars().map(plain).collect(),
        });
        (key.is_none(), key, country)
    };
    key(a).cmp(&key(b))
}

/// A letter without its accent. These are all the accents that are in the table.
const fn plain(letter: char) -> char {
    match letter {
        'Å' => 'A',
        'ã' => 'a',
        'ç' => 'c',
        'é' => 'e',
        'í' => 'i',
        'ô' => 'o',
        'ü' => 'u',
        other => other,
    }
}

fn find(country: Country) -> Option<Names> {
    let at = COUNTRIES.binary_search_by_key(&country.as_str(), |(code, ..)| *code).ok()?;
    COUNTRIES.get(at).map(|&(_, zh, pinyin, en)| Names { zh, pinyin, en })
}

/// Code, Chinese name, its pinyin, English name; by code.
#[rustfmt::skip]
const COUNTRIES: [(&str, &str, &str, &str); 249] = [
    ("ad", "安道尔", "an dao er", "Andorra"),
    ("ae", "阿拉伯联合酋长国", "a la bo lian he qiu zhang guo", "United Arab Emirates"),
    ("af", "阿富汗", "a fu han", "Afghanistan"),
    ("ag", "安提瓜和巴布达", "an ti gua he ba bu da", "Antigua and Barbuda"),
    ("ai", "安圭拉", "an gui la", "Anguilla"),
    ("al", "阿尔巴尼亚", "a er ba ni ya", "Albania"),
    ("am", "亚美尼亚", "ya mei ni ya", "Armenia"),
    ("ao", "安哥拉", "an ge la", "Angola"),
    ("aq", "南极洲", "nan ji zhou", "Antarctica"),
    ("ar", "阿根廷", "a gen ting", "Argentina"),
    ("as", "美属萨摩亚", "mei shu sa mo ya", "American Samoa"),
    ("at", "奥地利", "ao di li", "Austria"),
    ("au", "澳大利亚", "ao da li ya", "Australia"),
    ("aw", "阿鲁巴", "a lu ba", "Aruba"),
    ("ax", "奥兰群岛", "ao lan qun dao", "Åland Islands"),
    ("az", "阿塞拜疆", "a sai bai jiang", "Azerbaijan"),
    ("ba", "波斯尼亚和黑塞哥维那", "bo si ni ya he hei sai ge wei na", "Bosnia and Herzegovina"),
    ("bb", "巴巴多斯", "ba ba duo si", "Barbados"),
    ("bd", "孟加拉国", "meng jia la guo", "Bangladesh"),
    ("be", "比利时", "bi li shi", "Belgium"),
    ("bf", "布基纳法索", "bu ji na fa suo", "Burkina Faso"),
    ("bg", "保加利亚", "bao jia li ya", "Bulgaria"),
    ("bh", "巴林", "ba lin", "Bahrain"),
    ("bi", "布隆迪", "bu long di", "Burundi"),
    ("bj", "贝宁", "bei ning", "Benin"),
    ("bl", "圣巴泰勒米", "sheng ba tai lei mi", "Saint Barthélemy"),
    ("bm", "百慕大", "bai mu da", "Bermuda"),
    ("bn", "文莱", "wen lai", "Brunei"),
    ("bo", "玻利维亚", "bo li wei ya", "Bolivia"),
    ("bq", "荷属加勒比区", "he shu jia lei bi qu", "Caribbean Netherlands"),
    ("br", "巴西", "ba xi", "Brazil"),
    ("bs", "巴哈马", "ba ha ma", "Bahamas"),
    ("bt", "不丹", "bu dan", "Bhutan"),
    ("bv", "布韦岛", "bu wei dao", "Bouvet Island"),
    ("bw", "博茨瓦纳", "bo ci wa na", "Botswana"),
    ("by", "白俄罗斯", "bai e luo si", "Belarus"),
    ("bz", "伯利兹", "bo li zi", "Belize"),
    ("ca", "加拿大", "jia na da", "Canada"),
    ("cc", "科科斯群岛", "ke ke si qun dao", "Cocos (Keeling) Islands"),
    ("cd", "刚果（金）", "gang guo jin", "Congo (Kinshasa)"),
    ("cf", "中非共和国", "zhong fei gong he guo", "Central African Republic"),
    ("cg", "刚果（布）", "gang guo bu", "Congo (Brazzaville)"),
    ("ch", "瑞士", "rui shi", "Switzerland"),
    ("ci", "科特迪瓦", "ke te di wa", "Côte d'Ivoire"),
    ("ck", "库克群岛", "ku ke qun dao", "Cook Islands"),
    ("cl", "智利", "zhi li", "Chile"),
    ("cm", "喀麦隆", "ka mai long", "Cameroon"),
    ("cn", "中国", "zhong guo", "China"),
    ("co", "哥伦比亚", "ge lun bi ya", "Colombia"),
    ("cr", "哥斯达黎加", "ge si da li jia", "Costa Rica"),
    ("cu", "古巴", "gu ba", "Cuba"),
    ("cv", "佛得角", "fo de jiao", "Cape Verde"),
    ("cw", "库拉索", "ku la suo", "Curaçao"),
    ("cx", "圣诞岛", "sheng dan dao", "Christmas Island"),
    ("cy", "塞浦路斯", "sai pu lu si", "Cyprus"),
    ("cz", "捷克", "jie ke", "Czechia"),
    ("de", "德国", "de guo", "Germany"),
    ("dj", "吉布提", "ji bu ti", "Djibouti"),
    ("dk", "丹麦", "dan mai", "Denmark"),
    ("dm", "多米尼克", "duo mi ni ke", "Dominica"),
    ("do", "多米尼加共和国", "duo mi ni jia gong he guo", "Dominican Republic"),
    ("dz", "阿尔及利亚", "a er ji li ya", "Algeria"),
    ("ec", "厄瓜多尔", "e gua duo er", "Ecuador"),
    ("ee", "爱沙尼亚", "ai sha ni ya", "Estonia"),
    ("eg", "埃及", "ai ji", "Egypt"),
    ("eh", "西撒哈拉", "xi sa ha la", "Western Sahara"),
    ("er", "厄立特里亚", "e li te li ya", "Eritrea"),
    ("es", "西班牙", "xi ban ya", "Spain"),
    ("et", "埃塞俄比亚", "ai sai e bi ya", "Ethiopia"),
    ("fi", "芬兰", "fen lan", "Finland"),
    ("fj", "斐济", "fei ji", "Fiji"),
    ("fk", "福克兰群岛", "fu ke lan qun dao", "Falkland Islands"),
    ("fm", "密克罗尼西亚", "mi ke luo ni xi ya", "Micronesia"),
    ("fo", "法罗群岛", "fa luo qun dao", "Faroe Islands"),
    ("fr", "法国", "fa guo", "France"),
    ("ga", "加蓬", "jia peng", "Gabon"),
    ("gb", "英国", "ying guo", "United Kingdom"),
    ("gd", "格林纳达", "ge lin na da", "Grenada"),
    ("ge", "格鲁吉亚", "ge lu ji ya", "Georgia"),
    ("gf", "法属圭亚那", "fa shu gui ya na", "French Guiana"),
    ("gg", "根西岛", "gen xi dao", "Guernsey"),
    ("gh", "加纳", "jia na", "Ghana"),
    ("gi", "直布罗陀", "zhi bu luo tuo", "Gibraltar"),
    ("gl", "格陵兰", "ge ling lan", "Greenland"),
    ("gm", "冈比亚", "gang bi ya", "Gambia"),
    ("gn", "几内亚", "ji nei ya", "Guinea"),
    ("gp", "瓜德罗普", "gua de luo pu", "Guadeloupe"),
    ("gq", "赤道几内亚", "chi dao ji nei ya", "Equatorial Guinea"),
    ("gr", "希腊", "xi la", "Greece"),
    ("gs", "南乔治亚和南桑威奇群岛", "nan qiao zhi ya he nan sang wei qi qun dao", "South Georgia and South Sandwich Islands"),
    ("gt", "危地马拉", "wei di ma la", "Guatemala"),
    ("gu", "关岛", "guan dao", "Guam"),
    ("gw", "几内亚比绍", "ji nei ya bi shao", "Guinea-Bissau"),
    ("gy", "圭亚那", "gui ya na", "Guyana"),
    ("hk", "香港", "xiang gang", "Hong Kong"),
    ("hm", "赫德岛和麦克唐纳群岛", "he de dao he mai ke tang na qun dao", "Heard and McDonald Islands"),
    ("hn", "洪都拉斯", "hong dou la si", "Honduras"),
    ("hr", "克罗地亚", "ke luo di ya", "Croatia"),
    ("ht", "海地", "hai di", "Haiti"),
    ("hu", "匈牙利", "xiong ya li", "Hungary"),
    ("id", "印度尼西亚", "yin du ni xi ya", "Indonesia"),
    ("ie", "爱尔兰", "ai er lan", "Ireland"),
    ("il", "以色列", "yi se lie", "Israel"),
    ("im", "马恩岛", "ma en dao", "Isle of Man"),
    ("in", "印度", "yin du", "India"),
    ("io", "英属印度洋领地", "ying shu yin du yang ling di", "British Indian Ocean Territory"),
    ("iq", "伊拉克", "yi la ke", "Iraq"),
    ("ir", "伊朗", "yi lang", "Iran"),
    ("is", "冰岛", "bing dao", "Iceland"),
    ("it", "意大利", "yi da li", "Italy"),
    ("je", "泽西岛", "ze xi dao", "Jersey"),
    ("jm", "牙买加", "ya mai jia", "Jamaica"),
    ("jo", "约旦", "yue dan", "Jordan"),
    ("jp", "日本", "ri ben", "Japan"),
    ("ke", "肯尼亚", "ken ni ya", "Kenya"),
    ("kg", "吉尔吉斯斯坦", "ji er ji si si tan", "Kyrgyzstan"),
    ("kh", "柬埔寨", "jian pu zhai", "Cambodia"),
    ("ki", "基里巴斯", "ji li ba si", "Kiribati"),
    ("km", "科摩罗", "ke mo luo", "Comoros"),
    ("kn", "圣基茨和尼维斯", "sheng ji ci he ni wei si", "Saint Kitts and Nevis"),
    ("kp", "朝鲜", "chao xian", "North Korea"),
    ("kr", "韩国", "han guo", "South Korea"),
    ("kw", "科威特", "ke wei te", "Kuwait"),
    ("ky", "开曼群岛", "kai man qun dao", "Cayman Islands"),
    ("kz", "哈萨克斯坦", "ha sa ke si tan", "Kazakhstan"),
    ("la", "老挝", "lao wo", "Laos"),
    ("lb", "黎巴嫩", "li ba nen", "Lebanon"),
    ("lc", "圣卢西亚", "sheng lu xi ya", "Saint Lucia"),
    ("li", "列支敦士登", "lie zhi dun shi deng", "Liechtenstein"),
    ("lk", "斯里兰卡", "si li lan ka", "Sri Lanka"),
    ("lr", "利比里亚", "li bi li ya", "Liberia"),
    ("ls", "莱索托", "lai suo tuo", "Lesotho"),
    ("lt", "立陶宛", "li tao wan", "Lithuania"),
    ("lu", "卢森堡", "lu sen bao", "Luxembourg"),
    ("lv", "拉脱维亚", "la tuo wei ya", "Latvia"),
    ("ly", "利比亚", "li bi ya", "Libya"),
    ("ma", "摩洛哥", "mo luo ge", "Morocco"),
    ("mc", "摩纳哥", "mo na ge", "Monaco"),
    ("md", "摩尔多瓦", "mo er duo wa", "Moldova"),
    ("me", "黑山", "hei shan", "Montenegro"),
    ("mf", "法属圣马丁", "fa shu sheng ma ding", "Saint Martin"),
    ("mg", "马达加斯加", "ma da jia si jia", "Madagascar"),
    ("mh", "马绍尔群岛", "ma shao er qun dao", "Marshall Islands"),
    ("mk", "北马其顿", "bei ma qi dun", "North Macedonia"),
    ("ml", "马里", "ma li", "Mali"),
    ("mm", "缅甸", "mian dian", "Myanmar"),
    ("mn", "蒙古", "meng gu", "Mongolia"),
    ("mo", "澳门", "ao men", "Macao"),
    ("mp", "北马里亚纳群岛", "bei ma li ya na qun dao", "Northern Mariana Islands"),
    ("mq", "马提尼克", "ma ti ni ke", "Martinique"),
    ("mr", "毛里塔尼亚", "mao li ta ni ya", "Mauritania"),
    ("ms", "蒙特塞拉特", "meng te sai la te", "Montserrat"),
    ("mt", "马耳他", "ma er ta", "Malta"),
    ("mu", "毛里求斯", "mao li qiu si", "Mauritius"),
    ("mv", "马尔代夫", "ma er dai fu", "Maldives"),
    ("mw", "马拉维", "ma la wei", "Malawi"),
    ("mx", "墨西哥", "mo xi ge", "Mexico"),
    ("my", "马来西亚", "ma lai xi ya", "Malaysia"),
    ("mz", "莫桑比克", "mo sang bi ke", "Mozambique"),
    ("na", "纳米比亚", "na mi bi ya", "Namibia"),
    ("nc", "新喀里多尼亚", "xin ka li duo ni ya", "New Caledonia"),
    ("ne", "尼日尔", "ni ri er", "Niger"),
    ("nf", "诺福克岛", "nuo fu ke dao", "Norfolk Island"),
    ("ng", "尼日利亚", "ni ri li ya", "Nigeria"),
    ("ni", "尼加拉瓜", "ni jia la gua", "Nicaragua"),
    ("nl", "荷兰", "he lan", "Netherlands"),
    ("no", "挪威", "nuo wei", "Norway"),
    ("np", "尼泊尔", "ni po er", "Nepal"),
    ("nr", "瑙鲁", "nao lu", "Nauru"),
    ("nu", "纽埃", "niu ai", "Niue"),
    ("nz", "新西兰", "xin xi lan", "New Zealand"),
    ("om", "阿曼", "a man", "Oman"),
    ("pa", "巴拿马", "ba na ma", "Panama"),
    ("pe", "秘鲁", "bi lu", "Peru"),
    ("pf", "法属波利尼西亚", "fa shu bo li ni xi ya", "French Polynesia"),
    ("pg", "巴布亚新几内亚", "ba bu ya xin ji nei ya", "Papua New Guinea"),
    ("ph", "菲律宾", "fei lv bin", "Philippines"),
    ("pk", "巴基斯坦", "ba ji si tan", "Pakistan"),
    ("pl", "波兰", "bo lan", "Poland"),
    ("pm", "圣皮埃尔和密克隆群岛", "sheng pi ai er he mi ke long qun dao", "Saint Pierre and Miquelon"),
    ("pn", "皮特凯恩群岛", "pi te kai en qun dao", "Pitcairn Islands"),
    ("pr", "波多黎各", "bo duo li ge", "Puerto Rico"),
    ("ps", "巴勒斯坦", "ba le si tan", "Palestine"),
    ("pt", "葡萄牙", "pu tao ya", "Portugal"),
    ("pw", "帕劳", "pa lao", "Palau"),
    ("py", "巴拉圭", "ba la gui", "Paraguay"),
    ("qa", "卡塔尔", "ka ta er", "Qatar"),
    ("re", "留尼汪", "liu ni wang", "Réunion"),
    ("ro", "罗马尼亚", "luo ma ni ya", "Romania"),
    ("rs", "塞尔维亚", "sai er wei ya", "Serbia"),
    ("ru", "俄罗斯", "e luo si", "Russia"),
    ("rw", "卢旺达", "lu wang da", "Rwanda"),
    ("sa", "沙特阿拉伯", "sha te a la bo", "Saudi Arabia"),
    ("sb", "所罗门群岛", "suo luo men qun dao", "Solomon Islands"),
    ("sc", "塞舌尔", "sai she er", "Seychelles"),
    ("sd", "苏丹", "su dan", "Sudan"),
    ("se", "瑞典", "rui dian", "Sweden"),
    ("sg", "新加坡", "xin jia po", "Singapore"),
    ("sh", "圣赫勒拿", "sheng he lei na", "Saint Helena"),
    ("si", "斯洛文尼亚", "si luo wen ni ya", "Slovenia"),
    ("sj", "斯瓦尔巴和扬马延", "si wa er ba he yang ma yan", "Svalbard and Jan Mayen"),
    ("sk", "斯洛伐克", "si luo fa ke", "Slovakia"),
    ("sl", "塞拉利昂", "sai la li ang", "Sierra Leone"),
    ("sm", "圣马力诺", "sheng ma li nuo", "San Marino"),
    ("sn", "塞内加尔", "sai nei jia er", "Senegal"),
    ("so", "索马里", "suo ma li", "Somalia"),
    ("sr", "苏里南", "su li nan", "Suriname"),
    ("ss", "南苏丹", "nan su dan", "South Sudan"),
    ("st", "圣多美和普林西比", "sheng duo mei he pu lin xi bi", "São Tomé and Príncipe"),
    ("sv", "萨尔瓦多", "sa er wa duo", "El Salvador"),
    ("sx", "荷属圣马丁", "he shu sheng ma ding", "Sint Maarten"),
    ("sy", "叙利亚", "xu li ya", "Syria"),
    ("sz", "斯威士兰", "si wei shi lan", "Eswatini"),
    ("tc", "特克斯和凯科斯群岛", "te ke si he kai ke si qun dao", "Turks and Caicos Islands"),
    ("td", "乍得", "zha de", "Chad"),
    ("tf", "法属南部领地", "fa shu nan bu ling di", "French Southern Territories"),
    ("tg", "多哥", "duo ge", "Togo"),
    ("th", "泰国", "tai guo", "Thailand"),
    ("tj", "塔吉克斯坦", "ta ji ke si tan", "Tajikistan"),
    ("tk", "托克劳", "tuo ke lao", "Tokelau"),
    ("tl", "东帝汶", "dong di wen", "Timor-Leste"),
    ("tm", "土库曼斯坦", "tu ku man si tan", "Turkmenistan"),
    ("tn", "突尼斯", "tu ni si", "Tunisia"),
    ("to", "汤加", "tang jia", "Tonga"),
    ("tr", "土耳其", "tu er qi", "Türkiye"),
    ("tt", "特立尼达和多巴哥", "te li ni da he duo ba ge", "Trinidad and Tobago"),
    ("tv", "图瓦卢", "tu wa lu", "Tuvalu"),
    ("tw", "台湾", "tai wan", "Taiwan"),
    ("tz", "坦桑尼亚", "tan sang ni ya", "Tanzania"),
    ("ua", "乌克兰", "wu ke lan", "Ukraine"),
    ("ug", "乌干达", "wu gan da", "Uganda"),
    ("um", "美国本土外小岛屿", "mei guo ben tu wai xiao dao yu", "US Outlying Islands"),
    ("us", "美国", "mei guo", "United States"),
    ("uy", "乌拉圭", "wu la gui", "Uruguay"),
    ("uz", "乌兹别克斯坦", "wu zi bie ke si tan", "Uzbekistan"),
    ("va", "梵蒂冈", "fan di gang", "Vatican City"),
    ("vc", "圣文森特和格林纳丁斯", "sheng wen sen te he ge lin na ding si", "Saint Vincent and Grenadines"),
    ("ve", "委内瑞拉", "wei nei rui la", "Venezuela"),
    ("vg", "英属维尔京群岛", "ying shu wei er jing qun dao", "British Virgin Islands"),
    ("vi", "美属维尔京群岛", "mei shu wei er jing qun dao", "US Virgin Islands"),
    ("vn", "越南", "yue nan", "Vietnam"),
    ("vu", "瓦努阿图", "wa nu a tu", "Vanuatu"),
    ("wf", "瓦利斯和富图纳", "wa li si he fu tu na", "Wallis and Futuna"),
    ("ws", "萨摩亚", "sa mo ya", "Samoa"),
    ("ye", "也门", "ye men", "Yemen"),
    ("yt", "马约特", "ma yue te", "Mayotte"),
    ("za", "南非", "nan fei", "South Africa"),
    ("zm", "赞比亚", "zan bi ya", "Zambia"),
    ("zw", "津巴布韦", "jin ba bu wei", "Zimbabwe"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn country(code: &str) -> Country {
        code.parse().unwrap()
    }

    /// The codes of ISO 3166-1 alpha-2, as they are officially assigned.
    const ASSIGNED: &str = "\
ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs bt bv bw \
by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg eh er es et fi \
fj fk fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in \
io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me \
mf mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf \
pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st sv \
sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug um us uy uz va vc ve vg vi vn vu wf ws ye \
yt za zm zw";

    #[test]
    fn every_assigned_code_is_there_once_in_order() {
        let codes: Vec<_> = COUNTRIES.iter().map(|(code, ..)| *code).collect();
        assert_eq!(codes, ASSIGNED.split(' ').collect::<Vec<_>>());
        assert!(codes.is_sorted_by(|a, b| a < b), "the search needs them in order, each once");
    }

    #[test]
    fn no_two_countries_are_called_the_same() {
        for language in [Language::Zh, Language::En] {
            let mut names: Vec<_> =
                COUNTRIES.iter().map(|(code, ..)| name(country(code), language)).collect();
            assert!(names.iter().all(|name| !name.is_empty() && name.trim() == name));
            names.sort();
            names.dedup();
            assert_eq!(names.len(), COUNTRIES.len());
        }
    }

    #[test]
    fn a_name_follows_the_language_and_an_unknown_code_is_its_own_name() {
        assert_eq!(name(country("hk"), Language::Zh), "香港", "as in the document");
        assert_eq!(name(country("HK"), Language::En), "Hong Kong");
        assert_eq!(name(country("us"), Language::Zh), "美国");
        assert_eq!(name(country("xk"), Language::Zh), "XK");
    }

    #[test]
    fn lists_are_in_the_order_of_the_language() {
        let sorted = |language| {
            let mut some = ["zz", "us", "jp", "ax", "xk", "de", "al", "za", "cn", "eg"].map(country);
            some.sort_by(|a, b| by_name(*a, *b, language));
            some.map(|country| country.to_string()).join(" ")
        };
        // 阿尔巴尼亚 埃及 奥兰群岛 德国 美国 南非 日本 中国
        assert_eq!(sorted(Language::Zh), "al eg ax de us za jp cn xk zz");
        assert_eq!(sorted(Language::En), "ax al cn eg de jp za us xk zz");
    }

    #[test]
    fn every_name_can_be_sorted() {
        for (code, zh, pinyin, en) in COUNTRIES {
            assert!(en.chars().map(plain).all(|letter| letter.is_ascii()), "{code} {en}");
            let read = zh.chars().filter(|character| !matches!(character, '（' | '）')).count();
            assert_eq!(pinyin.split(' ').count(), read, "{code} {zh} {pinyin}");
            assert!(pinyin.bytes().all(|byte| byte == b' ' || byte.is_ascii_lowercase()), "{code} {pinyin}");
        }
    }
}
